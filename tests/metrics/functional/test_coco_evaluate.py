import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corrlight.metrics import Evaluation
from corrlight.metrics.functional import coco_evaluate
from corrlight.metrics.functional.coco_evaluate import threshold_index
from corrlight.metrics.matching import AREA_RANGES
from tests.metrics.coco_oracle import (
    NAMES,
    coco_eval,
    coco_numbers,
    datasets,
    random_dataset,
    with_masks,
)
from tests.metrics.functional import golden_cases


def assert_same(ours: dict, theirs: dict, tolerance: float = 1e-12) -> None:
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        if value is None:
            assert ours[name] is None, name
        else:
            assert ours[name] == pytest.approx(value, abs=tolerance), name


@pytest.mark.golden
@pytest.mark.parametrize("name", golden_cases.case_names())
def test_golden_stats(name):
    stats = list(golden_cases.result(name)["stats"].values())[: len(NAMES)]
    theirs = {n: None if v == -1 else v for n, v in zip(NAMES, stats, strict=True)}
    assert_same(coco_evaluate(golden_cases.evaluation(name)).values, theirs)


@pytest.mark.golden
@pytest.mark.parametrize("name", golden_cases.case_names())
def test_golden_per_class(name):
    evaluation = golden_cases.evaluation(name)
    numbers = coco_evaluate(evaluation)
    columns = {
        "AP": numbers.class_ap(),
        "AP50": numbers.class_ap(0.5),
        "AP75": numbers.class_ap(0.75),
        **{f"AP_{area}": numbers.class_ap(area=area) for area in ("all", "small", "large")},
        "AR100_all": numbers.recall[:, :, 0, 2].mean(0),
        "AR100_medium": numbers.recall[:, :, 2, 2].mean(0),
    }
    rows = golden_cases.result(name)["per_class"]
    for k, category in enumerate(evaluation.ground_truth.category_ids):
        for key, column in columns.items():
            theirs = rows[str(category)][key]
            if theirs == -1:
                assert np.isnan(column[k])
            else:
                assert column[k] == pytest.approx(theirs, abs=1e-12)


@given(datasets())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_equals_pycocotools(data):
    gt, dt = data
    assert_same(coco_evaluate(Evaluation.from_coco(gt, dt)).values, coco_numbers(gt, dt))


@given(datasets(), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_masks_equal_pycocotools(data, seed):
    gt, dt = with_masks(*data, np.random.default_rng(seed))
    ours = coco_evaluate(Evaluation.from_coco(gt, dt, masks=True)).values
    assert_same(ours, coco_numbers(gt, dt, "segm"))


@pytest.mark.parametrize("seed", range(3))
def test_curves_equal_pycocotools(seed):
    gt, dt = random_dataset(np.random.default_rng(seed), 12, 3, ties=seed == 1, crowds=True)
    ours = coco_evaluate(Evaluation.from_coco(gt, dt))
    theirs = coco_eval(gt, dt).eval
    precision, recall = theirs["precision"][..., 2], theirs["recall"]
    np.testing.assert_array_equal(np.nan_to_num(ours.precision, nan=-1.0), precision)
    np.testing.assert_array_equal(np.nan_to_num(ours.recall, nan=-1.0), recall)


def test_more_than_100_detections_of_a_class_in_an_image():
    rng = np.random.default_rng(0)
    gt, _ = random_dataset(rng, 2, 2, ties=False, crowds=False)
    dt = [
        {
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            "bbox": [v + float(rng.normal(0, 3)) for v in a["bbox"][:2]] + a["bbox"][2:],
            "score": float(rng.random()),
        }
        for a in gt["annotations"]
        for _ in range(150)
    ]
    assert_same(coco_evaluate(Evaluation.from_coco(gt, dt)).values, coco_numbers(gt, dt))


@given(datasets())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_invariances(data):
    gt, dt = data
    # Ties are broken by the order of the file; distinct scores leave nothing to break.
    dt = [{**d, "score": (i + 1) / (len(dt) + 1)} for i, d in enumerate(dt)]
    expected = coco_evaluate(Evaluation.from_coco(gt, dt)).values
    assert_same(coco_evaluate(Evaluation.from_coco(gt, dt[::-1])).values, expected, 0)
    flipped = {**gt, "images": gt["images"][::-1]}
    assert_same(coco_evaluate(Evaluation.from_coco(flipped, dt)).values, expected, 0)


@pytest.mark.parametrize("first_annotation_id", [0, 7, 1000])
def test_annotation_ids_do_not_matter(first_annotation_id):
    gt, dt = random_dataset(np.random.default_rng(5), 3, 2, ties=False, crowds=True)
    expected = coco_numbers(gt, dt)
    images = dict(zip((i["id"] for i in gt["images"]), (0, 7, 1000), strict=True))
    renamed = {
        **gt,
        "images": [{**i, "id": images[i["id"]]} for i in gt["images"]],
        "annotations": [
            {**a, "id": first_annotation_id + k, "image_id": images[a["image_id"]]}
            for k, a in enumerate(gt["annotations"])
        ],
    }
    moved = [{**d, "image_id": images[d["image_id"]]} for d in dt]
    assert_same(coco_evaluate(Evaluation.from_coco(renamed, moved)).values, expected)


def test_no_detections_give_zero():
    gt, _ = random_dataset(np.random.default_rng(1), 5, 2, ties=False, crowds=False)
    numbers = coco_evaluate(Evaluation.from_coco(gt, []))
    counts = {a: np.nansum(numbers.recall[:, :, i]) for i, a in enumerate(AREA_RANGES)}
    assert set(counts.values()) == {0.0}
    has_objects = Evaluation.from_coco(gt, []).matches("small").num_gt.any()
    assert numbers.values["AP_small"] == (0.0 if has_objects else None)
    assert numbers.values["AP"] == numbers.values["AP50"] == numbers.values["AR_100"] == 0.0


def test_no_objects_give_none():
    gt, dt = random_dataset(np.random.default_rng(1), 5, 2, ties=False, crowds=False)
    numbers = coco_evaluate(Evaluation.from_coco({**gt, "annotations": []}, dt))
    assert set(numbers.values.values()) == {None}
    assert numbers.num_classes == 0


def test_perfect_detections_give_one():
    gt, _ = random_dataset(np.random.default_rng(1), 5, 2, ties=False, crowds=False)
    dt = [
        {**{k: a[k] for k in ("image_id", "category_id", "bbox")}, "score": 1.0}
        for a in gt["annotations"]
    ]
    numbers = coco_evaluate(Evaluation.from_coco(gt, dt))
    assert numbers.values["AP"] == pytest.approx(1)
    assert numbers.values["AR_100"] == 1
    assert numbers.num_classes == 2


def test_unknown_threshold():
    with pytest.raises(ValueError, match=r"`iou_threshold` .* but got 0\.52"):
        threshold_index(0.52)
