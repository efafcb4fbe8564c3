import numpy as np
import pytest

from corrlight.metrics import CocoEvaluate, Evaluation
from tests.metrics.coco_oracle import by_hand, coco_eval, coco_numbers, example


def test_the_numbers_of_pycocotools_and_the_columns_of_its_curves():
    gt, dt = example()
    found = CocoEvaluate()(Evaluation.from_coco(gt, dt))
    assert dict(found.values) == pytest.approx({**coco_numbers(gt, dt), "num_classes_AP": 3})
    precision = coco_eval(gt, dt).eval["precision"]  # (T, R, C, area, limit)
    columns = {
        "AP": precision[..., 0, -1],
        "AP50": precision[:1, ..., 0, -1],
        "AP75": precision[5:6, ..., 0, -1],
        "AP_small": precision[..., 1, -1],
        "AP_medium": precision[..., 2, -1],
        "AP_large": precision[..., 3, -1],
    }
    assert list(found.per_class) == list(columns)
    for name, column in columns.items():
        theirs = [None if c.min() < 0 else c.mean() for c in np.moveaxis(column, 2, 0)]
        assert found.per_class[name] == pytest.approx(theirs), name


def test_a_class_without_objects_is_undefined():
    found = CocoEvaluate()(Evaluation.from_coco(*by_hand()))
    # Recall 0.5 at precision 1 for the six thresholds below 0.8, and the rest at 2 / 3 for 0.5 and
    # 0.55 (and 0.6): points 0, 0.01, ..., 0.5 are 51 of 101.
    first, second = 51 / 101, 50 / 101 * 2 / 3
    expected = (7 * first + 3 * second) / 10
    assert found.per_class["AP"] == [pytest.approx(expected), None]
    assert found.values["AP"] == pytest.approx(expected)
    assert found.values["AP_small"] is None
    assert found.values["num_classes_AP"] == 1


def test_another_limit_has_names_of_its_own():
    gt, _ = by_hand()
    image, category = {"image_id": 1, "category_id": 3}, [200, 200, 100, 100]
    noise = [{**image, "bbox": [300, 0, 9 + k % 7, 9], "score": 0.9 - k / 1000} for k in range(150)]
    late = {**image, "bbox": category, "score": 0.1}
    evaluation = Evaluation.from_coco(gt, [*noise, late])
    values = CocoEvaluate(300)(evaluation).values
    plain = CocoEvaluate()(evaluation).values
    assert {k: v for k, v in values.items() if not k.endswith("_300")} == dict(plain)
    assert values["AP"] == values["AR_100"] == 0
    # The late one is right after 150 that are not: precision 1 / 151 up to a recall of a half.
    assert values["AP_300"] == values["AP50_300"] == pytest.approx(51 / 101 / 151)
    assert values["AR_300"] == 0.5
    column = CocoEvaluate(300)(evaluation).per_class["AP_300"]
    assert column == [pytest.approx(51 / 101 / 151), None]


@pytest.mark.parametrize("limit", [0, 100, 300.0, True])
def test_limits_that_add_nothing_are_refused(limit):
    with pytest.raises(ValueError, match="`max_detections` to be an int above 100"):
        CocoEvaluate(limit)
