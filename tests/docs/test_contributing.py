"""The examples of CONTRIBUTING.md work as printed."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import torch

from corrlight.coco.ground_truth import GroundTruth
from corrlight.coco.results import Results
from corrlight.config.build import build_module, instantiate_all
from corrlight.config.compose import compose_config
from corrlight.metrics import Evaluation
from corrlight.structures import Positives

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
FILES = {
    body.partition("\n")[0].removeprefix("# "): body for kind, body in BLOCKS if kind == "python"
}
COMMANDS = [
    shlex.split(line)[3:]
    for kind, body in BLOCKS
    for line in body.splitlines()
    if kind == "bash" and "run.py" in line
]


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The modules of the page, importable."""
    for name, body in FILES.items():
        (tmp_path / name).write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in FILES:
        sys.modules.pop(Path(name).stem, None)


def _config(word):
    (options,) = [c for c in COMMANDS if any(word in option for option in c)]
    allow = [o.partition("=")[2].strip("[]") for o in options if o.startswith("allow_targets")]
    return compose_config(options).config, allow


def test_the_page_has_two_modules_and_a_command_for_each():
    assert sorted(FILES) == ["my_losses.py", "my_metrics.py"]
    assert len(COMMANDS) == 2


def _positives(count):
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0]]).expand(count, 4)
    zeros = torch.zeros(count, dtype=torch.int64)
    return Positives(
        scores=torch.full((count,), 0.75, requires_grad=True),
        pred_boxes=boxes,
        gt_boxes=boxes * torch.tensor([1.0, 1.0, 1.0, 0.5]),
        labels=zeros,
        image_idx=zeros,
        pred_idx=torch.arange(count),
        level_idx=zeros,
        gt_idx=zeros,
    )


def test_the_loss_reaches_the_module_beside_the_correlation_loss(mine):
    config, allow = _config("loss_callbacks.gap")
    module = build_module(config, allow_targets=allow)
    gap = module.loss_callbacks["gap"]
    assert sorted(module.loss_callbacks) == ["corr", "gap"]
    assert gap.weight == 0.1
    assert float(gap(_positives(3)).detach()) == pytest.approx(0.25)  # 0.75 against an IoU of 0.5
    nothing = _positives(0)
    loss = gap(nothing)
    assert float(loss.detach()) == 0
    loss.backward()
    assert nothing.scores.grad is not None


def test_the_loss_is_refused_without_allow_targets(mine):
    config, _ = _config("loss_callbacks.gap")
    with pytest.raises(ValueError, match="allow_targets"):
        build_module(config)


def test_the_loss_checks_its_weight(mine):
    (options,) = [c for c in COMMANDS if any("gap" in option for option in c)]
    config = compose_config([*options, "loss_callbacks.gap.weight=-1"]).config
    with pytest.raises(ValueError, match="`weight` to be at least 0, but got -1"):
        build_module(config, allow_targets=["my_losses"])


@pytest.mark.parametrize(("scores", "share"), [((0.2, 0.3, 0.9, 0.4), 0.5), ((), None)])
def test_the_metric_is_measured(mine, scores, share):
    config, allow = _config("metric.confident")
    metric = instantiate_all(config.metric, allow)["confident"]
    ground_truth = GroundTruth.from_coco(
        {
            "images": [{"id": 1, "width": 8, "height": 8}],
            "categories": [{"id": 1, "name": "a"}],
            "annotations": [
                {
                    "id": 1,
                    "image_id": 1,
                    "category_id": 1,
                    "bbox": [0, 0, 4, 4],
                    "area": 16,
                    "iscrowd": 0,
                }
            ],
        },
        None,
    )
    found = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4], "score": s} for s in scores]
    evaluation = Evaluation(ground_truth, Results.from_coco(found, ground_truth))
    assert metric(evaluation).values == {"confident_share": share}
