import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from scipy import stats

from corrlight.metrics import Evaluation
from corrlight.metrics.functional import coco_evaluate, reranked_scores, score_bounds
from corrlight.metrics.functional.score_bounds import classes_outside
from tests.metrics.coco_oracle import coco_numbers, datasets, random_dataset
from tests.metrics.functional import golden_cases

SIGNS = {"plus1": "upper", "minus1": "lower"}


@pytest.mark.golden
@pytest.mark.parametrize("name", golden_cases.case_names())
def test_golden(name):
    derived = golden_cases.result(name)["derived_not_reference"]
    values = score_bounds(golden_cases.evaluation(name)).values
    for sign, direction in SIGNS.items():
        theirs = derived["AP_bounds_rank_positions_matching_kept"][sign]
        for key, value in theirs.items():
            assert values[f"{key}_{direction}_cls"] == pytest.approx(value, abs=1e-9)


@pytest.mark.golden
@pytest.mark.parametrize("name", golden_cases.case_names())
def test_golden_ap50_is_unchanged(name):
    evaluation = golden_cases.evaluation(name)
    values = score_bounds(evaluation).values
    ap50 = coco_evaluate(evaluation).values["AP50"]
    assert values["AP50_upper_cls"] == values["AP50_lower_cls"] == ap50


def disputed(evaluation):
    """Return whether a detection reaches IoU 0.5 with two objects of its class."""
    detections = evaluation.pairs.detection
    return len(np.unique(detections)) < len(detections)


@given(datasets())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_bounds_hold_where_no_detection_has_two_objects(data):
    evaluation = Evaluation.from_coco(*data)
    values = coco_evaluate(evaluation).values
    bounds = score_bounds(evaluation).values
    if values["AP"] is None:
        assert set(bounds.values()) == {None}
        return
    assert bounds["AP50_upper_cls"] == bounds["AP50_lower_cls"] == values["AP50"]
    found = score_bounds(evaluation)
    per_class = coco_evaluate(evaluation).class_ap()
    np.testing.assert_allclose(found.own.mean((0, 1)), per_class, atol=1e-12)
    if not disputed(evaluation):
        assert not found.violated.any()
        for name in ("AP", "AP75"):
            assert bounds[f"{name}_lower_cls"] <= values[name] + 1e-12
            assert bounds[f"{name}_upper_cls"] >= values[name] - 1e-12


def test_a_violation_is_counted():
    """At IoU 0.5 the first detection takes the wrong object: ranked by IoU it comes too late."""
    gt = {"images": [{"id": 1}], "categories": [{"id": 1}], "annotations": []}
    for k, width in enumerate((100, 70)):
        box = [0.0, 0.0, width, 100.0]
        gt["annotations"].append({"id": k + 1, "image_id": 1, "category_id": 1, "bbox": box})
    rng = np.random.default_rng(0)
    counts = []
    for _ in range(100):
        dt = [
            {
                "image_id": 1,
                "category_id": 1,
                "bbox": [float(v) for v in (*rng.uniform(0, 8, 2), *rng.uniform(60, 100, 2))],
                "score": float(rng.random()),
            }
            for _ in range(3)
        ]
        evaluation = Evaluation.from_coco(gt, dt)
        found = score_bounds(evaluation)
        own = coco_evaluate(evaluation).values["AP"]
        values = found.values
        outside = own > values["AP_upper_cls"] + 1e-12 or own < values["AP_lower_cls"] - 1e-12
        assert bool(found.violated[0]) == outside
        assert disputed(evaluation) or not outside
        counts.append(outside)
    assert 0 < sum(counts) < 20


def test_upper_bound_equals_evaluating_reranked_detections():
    """With one detection an object, permuting the scores is permuting the rank positions."""
    rng = np.random.default_rng(0)
    gt, _ = random_dataset(rng, 10, 1, ties=False, crowds=False)
    dt = []
    for k, a in enumerate(gt["annotations"]):
        a["bbox"] = [500.0 * k, 0.0, *a["bbox"][2:]]  # far apart: no competition
        box = [500.0 * k, 0.0, a["bbox"][2], a["bbox"][3] * rng.uniform(0.55, 1)]
        dt.append({**a, "bbox": box, "score": float(rng.random())})
    evaluation = Evaluation.from_coco(gt, dt)
    ious = [d["bbox"][3] / a["bbox"][3] for d, a in zip(dt, gt["annotations"], strict=True)]
    scores = [d["score"] for d in dt]
    for direction in ("upper", "lower"):
        new = reranked_scores(scores, ious, np.zeros(len(dt)), direction)
        moved = [{**d, "score": float(s)} for d, s in zip(dt, new, strict=True)]
        found = score_bounds(evaluation).values[f"AP_{direction}_cls"]
        assert found == pytest.approx(coco_numbers(gt, moved)["AP"], abs=1e-12)


def test_reranked_scores():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 4, 50)
    scores, ious = rng.random((2, 50))
    for direction, sign in (("upper", 1), ("lower", -1)):
        new = reranked_scores(scores, ious, groups, direction)
        for g in range(4):
            mine = groups == g
            assert sorted(new[mine]) == sorted(scores[mine])
            found = stats.spearmanr(new[mine], ious[mine]).statistic
            assert found == pytest.approx(sign, abs=1e-12)
    ties = reranked_scores([0.3, 0.1, 0.2], [0.5, 0.5, 0.5], [0, 0, 0], "lower")
    assert ties.tolist() == [0.3, 0.1, 0.2]
    with pytest.raises(ValueError, match=r"`direction` .* but got 'up'"):
        reranked_scores(scores, ious, groups, "up")


def test_classes_outside_are_counted_once():
    nan = np.nan
    own = {"AP": np.array([0.5, 0.2, nan, 0.7]), "AP50": np.array([0.8, 0.9, nan, 0.7])}
    lower = {"AP": np.array([0.4, 0.3, nan, 0.7]), "AP50": np.array([0.8, 0.9, nan, 0.6])}
    upper = {"AP": np.array([0.6, 0.4, nan, 0.7]), "AP50": np.array([0.8, 0.85, nan, 0.6])}
    # Class 1 is below in AP and above in AP50, class 3 above in AP50, class 2 undefined.
    assert classes_outside(own, lower, upper) == 2
    assert classes_outside(own, own, own) == 0
