import numpy as np
import pytest

from corrlight.metrics import Evaluation, Olrp, functional
from tests.metrics.coco_oracle import by_hand, example


def test_by_hand():
    """LRP after one, two and three detections; the first minimum counts."""
    curve = [
        ((1 - 0.8) / 0.5 + 0 + 1) / 2,
        ((1 - 0.8) / 0.5 + 1 + 1) / 3,
        ((1 - 0.8) / 0.5 + (1 - 0.6) / 0.5 + 1 + 0) / 3,
    ]
    assert np.argmin(curve) == 0
    found = Olrp()(Evaluation.from_coco(*by_hand()))
    assert found.values["oLRP"] == pytest.approx(0.7)
    # The false positive has a medium size: among large ones it does not count.
    assert found.values["oLRP_large"] == pytest.approx((0.2 / 0.5 + 0.4 / 0.5) / 2)
    assert found.values["oLRP_Loc"] == pytest.approx(0.2)
    assert found.values["oLRP_FP"] == 0
    assert found.values["oLRP_FN"] == 0.5
    assert found.values["oLRP_small"] is None
    assert found.values["num_classes_oLRP"] == 1
    assert found.per_class["oLRP_threshold"] == [0.9, None]


def test_a_class_without_true_positives_is_wholly_wrong_and_has_no_localisation():
    gt, dt = by_hand()
    values = Olrp()(Evaluation.from_coco(gt, dt[1:2])).values
    assert values["oLRP"] == values["oLRP_FN"] == 1
    assert values["oLRP_Loc"] is None
    assert values["num_classes_oLRP_Loc"] == 0


def test_values_and_columns_are_those_of_the_function():
    evaluation = Evaluation.from_coco(*example())
    numbers, found = functional.olrp(evaluation), Olrp()(evaluation)
    expected = {f"num_classes_{n}": c for n, c in numbers.counts.items()} | numbers.values
    assert dict(found.values) == expected
    assert found.per_class["oLRP_FP"] == pytest.approx(numbers.fp[:, 0].tolist())
    for name in ("oLRP", "oLRP_Loc", "oLRP_FP", "oLRP_FN"):
        assert found.values[name] == pytest.approx(np.mean(found.per_class[name])), name
