import numpy as np
import pytest

from corrlight.metrics import Evaluation
from corrlight.metrics.direction import better_direction
from corrlight.metrics.errors.metric import ErrorTypes
from tests.metrics.errors.cases import case
from tests.metrics.errors.test_types import SIZE, files


def test_values_are_fractions_and_counts():
    truth, results = case("everything")
    found = ErrorTypes()(Evaluation.from_coco(truth, results))
    values = found.values
    assert values["AP_tide"] == pytest.approx(0.10789914366196133, abs=1e-11)  # tidecv's
    assert values["dAP_localisation"] == pytest.approx(0.04666251199156303, abs=1e-11)
    assert all(len(column) == 4 for column in found.per_class.values())
    for name, column in found.per_class.items():
        if name.startswith("num_errors_"):
            assert sum(column) == values[name]
    # Two classes have no object but detections: tidecv counts them with AP 0.
    assert values["num_classes_unasked_tide"] == 2
    costs = [v for v in found.per_class["dAP_false_negative"] if v is not None]
    assert np.mean(costs) == pytest.approx(values["dAP_false_negative"])


def test_undefined_is_none():
    nothing = ErrorTypes()(Evaluation.from_coco(*files([], [])))
    assert nothing.values["AP_tide"] is None
    assert nothing.values["dAP_missed"] is None
    assert nothing.per_class["dAP_missed"] == [None] * 3
    # Without the one object there is no class left.
    missed = ErrorTypes()(Evaluation.from_coco(*files([(1, 1, [0, 0, *SIZE], 0)], []))).values
    assert missed["AP_tide"] == 0
    assert missed["dAP_missed"] is None
    assert missed["num_errors_missed"] == 1


def test_less_cost_is_better():
    assert better_direction("dAP_background") == "min"
    assert better_direction("mask_dAP_false_positive") == "min"
    assert better_direction("AP_tide") == "max"
    assert better_direction("num_errors_both") is None


def test_thresholds_in_order():
    with pytest.raises(ValueError, match="Expected 0 < `background` < `positive` <= 1"):
        ErrorTypes(0.5, 0.6)
