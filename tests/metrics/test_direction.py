import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from corrlight.config.build import instantiate_all
from corrlight.config.compose import compose_config
from corrlight.metrics import Evaluation
from corrlight.metrics.direction import better_direction, logged_direction
from corrlight.metrics.measure import measure

GT = {
    "images": [{"id": 1, "width": 100, "height": 100}, {"id": 2, "width": 100, "height": 100}],
    "categories": [{"id": 1, "name": "a"}],
    "annotations": [
        {"id": k, "image_id": k, "category_id": 1, "bbox": [10, 10, 40, 40], "area": 1600}
        | {"iscrowd": 0}
        for k in (1, 2)
    ],
}
PERFECT = [[10, 10, 40, 40, 0.99], [10, 10, 40, 40, 0.98]]
POOR = [[14, 12, 40, 40, 0.4], [60, 60, 20, 20, 0.9]]


def measures(tmp_path, boxes):
    """Return every measure that ships, of one detection an image."""
    (tmp_path / "gt.json").write_text(json.dumps(GT))
    found = [
        {"image_id": k, "category_id": 1, "bbox": b[:4], "score": b[4]}
        for k, b in enumerate(boxes, 1)
    ]
    (tmp_path / "dt.json").write_text(json.dumps(found))
    config = compose_config(["metric=full"]).config
    metrics = list(instantiate_all(config.metric, ()).values())
    evaluation = Evaluation.from_coco(tmp_path / "gt.json", tmp_path / "dt.json")
    return measure(evaluation, [m for m in metrics if not m.of_positives]).metrics


def test_a_better_detector_moves_every_measure_its_way(tmp_path):
    good, poor = measures(tmp_path, PERFECT), measures(tmp_path, POOR)
    moved = set()
    for name, value in good.items():
        way = better_direction(name)
        if way is None:
            assert name.startswith("num_")
        elif value is not None and poor[name] is not None and value != poor[name]:
            assert (value > poor[name]) == (way == "max"), name
            moved.add(name)
    assert {"AP", "AR_100", "oLRP", "oLRP_Loc", "calibration_error"} <= moved


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("val/AP", "max"),
        ("val/mask_AP", "max"),
        ("val/beta_img", "max"),
        ("val/AP_lower_cls", "max"),
        ("val/oLRP", "min"),
        ("val/oLRP_Loc", "min"),
        ("val/oLRP_FP", "min"),
        ("val/oLRP_FN", "min"),
        ("val/oLRP_small", "min"),
        ("val/mask_oLRP_FN", "min"),
        ("val/calibration_error", "min"),
        ("val/loss", "min"),
        ("val/loss_corr", "min"),
        ("train/stage2/loss_box", "min"),
        ("num_detections", None),
        ("val/num_classes_AP", None),
        ("confident_share", "max"),
    ],
)
def test_names_as_they_are_logged(name, way):
    assert better_direction(name) == way


def test_a_metric_of_ones_own_declares_its_direction():
    class Gap:
        smaller_is_better = ("gap",)

    assert better_direction("val/gap", [Gap()]) == "min"
    assert better_direction("val/gap") == "max"


def test_tables_need_no_torch_to_ask():
    code = "import sys, corrlight.metrics.direction; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_module_is_asked_for_the_measures_of_its_own():
    class Odd:
        smaller_is_better = ("oddity",)

    module = SimpleNamespace(evaluator=SimpleNamespace(metrics=[Odd()]))
    assert logged_direction("val/oddity", module) == "min"
    assert logged_direction("val/oddity", object()) == "max"
    assert logged_direction("val/oLRP", object()) == "min"
    assert logged_direction("val/num_images", module) is None
