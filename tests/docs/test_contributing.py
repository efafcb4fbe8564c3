"""The examples of CONTRIBUTING.md work as printed."""

import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf

from corrlight import assigners, criteria, postprocess
from corrlight.coco.ground_truth import GroundTruth
from corrlight.coco.results import Results
from corrlight.config.build import build_module, instantiate_all
from corrlight.config.compose import compose_config
from corrlight.metrics import Evaluation
from corrlight.structures import Positives
from tests.conftest import of_detectors

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


def test_the_yaml_of_a_detector_has_what_every_detector_file_has():
    (body,) = [body for kind, body in BLOCKS if kind == "yaml"]
    assert "python run.py detector=x" in body.partition("\n")[0]
    node = OmegaConf.create(body)
    assert {"name", "net", "assigner", "criterion", "postprocessor"} <= set(node)
    # Everything but the detector that is to be written exists, and takes these options.
    config = compose_config(["detector=atss_small"]).config
    for key in ("assigner", "criterion", "postprocessor"):
        OmegaConf.update(config, f"detector.{key}", node[key], merge=False)
    config.detector.criterion.classification = "${loss}"
    config.detector.net.aux_head = "none"
    assert type(build_module(config).assigner).__name__ == "MaxIoUAssigner"


def test_the_table_of_needs_is_what_the_parts_say():
    rows = re.findall(
        r"^\| (`\w+`.*?) \| (.+?) \|$", TEXT.partition("## A detector")[2], re.MULTILINE
    )
    said = {name: need for names, need in rows for name in re.findall(r"`(\w+)`", names)}
    for module in (assigners, postprocess, criteria):
        for name in module.__all__:
            needs = getattr(getattr(module, name), "needs", ())
            if isinstance(needs, tuple) and needs:
                assert [f for f in needs if f"`{f}`" in said[name]] == list(needs), name
            elif said.get(name) == "nothing":
                assert not isinstance(needs, tuple) or not needs, name


def test_the_contract_is_run_for_one_detector_alone():
    """--detector takes whole names, where -k takes parts of them."""

    def item(**params):
        return SimpleNamespace(callspec=SimpleNamespace(params=params))

    mine, other, alike = item(detector="x"), item(detector="y"), item(detector="x_small")
    tests = [mine, other, alike, item(case="x"), SimpleNamespace()]
    assert of_detectors(tests, ["x"]) == [mine]
    assert of_detectors(tests, ["x", "x_small"]) == [mine, alike]


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
