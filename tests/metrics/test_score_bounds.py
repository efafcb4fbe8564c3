import numpy as np
import pytest

from corrlight.metrics import Evaluation, ScoreBounds, functional
from tests.metrics.coco_oracle import by_hand, coco_numbers, example


def exchanged(dt, i, k):
    """Return detections whose scores i and k are exchanged."""
    changed = [dict(d) for d in dt]
    changed[i]["score"], changed[k]["score"] = dt[k]["score"], dt[i]["score"]
    return changed


def test_by_hand():
    """Of two true positives, the better comes first, as it does, or last."""
    gt, dt = by_hand()
    found = ScoreBounds()(Evaluation.from_coco(gt, dt))
    upper, lower = coco_numbers(gt, dt), coco_numbers(gt, exchanged(dt, 0, 2))
    for name in ("AP", "AP50", "AP75"):
        assert found.values[f"{name}_upper_cls"] == pytest.approx(upper[name]), name
        assert found.values[f"{name}_lower_cls"] == pytest.approx(lower[name]), name
    assert found.values["num_classes_bounds_violated"] == 0
    assert found.per_class["AP_upper_cls"] == [pytest.approx(upper["AP"]), None]
    assert found.per_class["AP_lower_cls"] == [pytest.approx(lower["AP"]), None]


def test_values_are_those_of_the_function_and_hold_ap():
    gt, dt = example()
    evaluation = Evaluation.from_coco(gt, dt)
    found, bounds = ScoreBounds()(evaluation), functional.score_bounds(evaluation)
    assert dict(found.values) == bounds.values | {"num_classes_bounds_violated": 0}
    assert found.values["AP_lower_cls"] <= coco_numbers(gt, dt)["AP"] + 1e-12
    assert found.values["AP_upper_cls"] >= coco_numbers(gt, dt)["AP"] - 1e-12
    assert found.values["AP_upper_cls"] == pytest.approx(np.mean(found.per_class["AP_upper_cls"]))
