import numpy as np
import pytest

from corrlight.metrics import CocoEvaluate, Evaluation, ImageCorrelation, MetricResult
from corrlight.metrics.measure import measure
from tests.metrics.coco_oracle import by_hand, coco_numbers, example, with_masks


class Constant:
    """A metric is any callable."""

    def __call__(self, evaluation):
        columns = range(evaluation.ground_truth.num_classes)
        return MetricResult(values={"one": 1.0}, per_class={"label": list(columns)})


def test_values_counts_and_one_row_a_class():
    gt, dt = by_hand()
    found = measure(Evaluation.from_coco(gt, dt), [Constant()])
    assert found.metrics == {"one": 1.0, "num_images": 1, "num_objects": 2, "num_detections": 3}
    common = {"num_objects": 2, "num_detections": 3, "label": 0}
    assert found.per_class == [
        {"category_id": 3, "name": "a", **common},
        {"category_id": 7, "name": "b", "num_objects": 0, "num_detections": 0, "label": 1},
    ]
    assert list(found.seconds) == ["matching", "Constant"]
    assert min(found.seconds.values()) >= 0


def test_crowds_are_no_objects():
    gt, dt = example()
    found = measure(Evaluation.from_coco(gt, dt), [Constant()])
    solid = [a for a in gt["annotations"] if not a["iscrowd"]]
    assert 0 < len(solid) < len(gt["annotations"])
    assert found.metrics["num_objects"] == len(solid)
    assert sum(row["num_objects"] for row in found.per_class) == len(solid)
    assert sum(row["num_detections"] for row in found.per_class) == len(dt)


def test_masks_have_a_prefix_and_measures_of_positives_are_taken_once():
    gt, dt = with_masks(*example(), np.random.default_rng(0))
    boxes = Evaluation.from_coco(gt, dt)
    masks = Evaluation.from_coco(gt, dt, masks=True)
    calls = []
    metrics = [CocoEvaluate(), ImageCorrelation()]
    found = measure(boxes, metrics, masks, step=lambda: calls.append(1))
    assert len(calls) == 2
    expected = coco_numbers(gt, dt, "segm")
    assert {name: found.metrics[f"mask_{name}"] for name in expected} == pytest.approx(expected)
    assert "beta_img" in found.metrics
    assert not any(name.startswith("mask_beta_img") for name in found.metrics)
    assert {"AP", "mask_AP"} <= set(found.per_class[0])
    assert {"matching", "mask_matching", "mask_CocoEvaluate"} <= set(found.seconds)
    assert "mask_ImageCorrelation" not in found.seconds
