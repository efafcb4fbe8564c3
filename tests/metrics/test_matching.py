import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from pycocotools import mask as mask_utils

from corrlight.coco.findings import MaskError
from corrlight.metrics import Evaluation
from corrlight.metrics.matching import AREA_RANGES, IOU_THRESHOLDS, box_pairs, mask_pairs
from tests.helpers.paths import golden_root
from tests.metrics.coco_oracle import coco_eval, datasets
from tests.metrics.functional import golden_cases


def with_ids(evaluation, content, area):
    """Return what each detection matches, keyed by detection number, as pycocotools would."""
    rows = evaluation.order[evaluation.counted]
    matches = evaluation.matches(area)
    gt = evaluation.ground_truth
    ids = {}  # row of the ground truth -> annotation id
    label_of = {c: k for k, c in enumerate(gt.category_ids.tolist())}
    keys = [
        (label_of[a["category_id"]], a["image_id"], n) for n, a in enumerate(content["annotations"])
    ]
    for row, key in enumerate(sorted(keys)):
        ids[row] = content["annotations"][key[2]]["id"]
    found = {}
    for column, row in enumerate(rows):
        matched = [ids.get(int(g), 0) if g >= 0 else 0 for g in matches.gt[:, column]]
        found[int(row)] = (matched, matches.ignored[:, column].tolist())
    return found


@given(datasets())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_matches_equal_pycocotools(data):
    gt, dt = data
    run = coco_eval(gt, dt)
    evaluation = Evaluation.from_coco(gt, dt)
    for area, limits in zip(AREA_RANGES, run.params.areaRng, strict=True):
        ours = with_ids(evaluation, gt, area)
        theirs = {
            d - 1: (e["dtMatches"][:, i].tolist(), e["dtIgnore"][:, i].tolist())
            for e in run.evalImgs
            if e is not None and e["aRng"] == limits
            for i, d in enumerate(e["dtIds"])
        }
        assert ours == theirs


@pytest.mark.golden
@pytest.mark.parametrize("name", golden_cases.case_names())
def test_golden_matches(name):
    with np.load(golden_root() / "metrics.npz") as archive:
        rows = archive[f"{name}/matches"]
    evaluation = golden_cases.evaluation(name)
    matches = evaluation.matches("all")
    column = np.empty(len(evaluation.results), dtype=np.int64)
    column[evaluation.order[evaluation.counted]] = np.arange(len(evaluation.counted))
    at = column[rows[:, 2].astype(int) - 1]
    assert len(rows) == len(evaluation.counted)
    np.testing.assert_array_equal(evaluation.scores[at], rows[:, 3])
    np.testing.assert_array_equal(matches.gt[0, at] >= 0, rows[:, 4] > 0)
    np.testing.assert_array_equal(matches.ignored[0, at], rows[:, 6] > 0)
    np.testing.assert_allclose(matches.iou[0, at], np.nan_to_num(rows[:, 5]), atol=1e-12)


def test_thresholds_are_those_of_pycocotools():
    params = coco_eval(*_one_object()).params
    np.testing.assert_array_equal(IOU_THRESHOLDS, params.iouThrs)
    assert [list(v) for v in AREA_RANGES.values()] == [list(map(float, a)) for a in params.areaRng]


def test_ties_in_iou_take_the_last_object():
    gt, dt = _one_object()
    box = gt["annotations"][0]
    gt["annotations"].append({**box, "id": 2})
    matches = Evaluation.from_coco(gt, dt).matches()
    assert matches.gt[0].tolist() == [1]
    assert coco_eval(gt, dt).evalImgs[0]["dtMatches"][0].tolist() == [2]


def test_pairs_do_not_depend_on_the_chunk_size(monkeypatch):
    rng = np.random.default_rng(0)
    det_cell, gt_cell = np.sort(rng.integers(0, 9, 300)), np.sort(rng.integers(0, 9, 70))
    boxes = rng.uniform(10, 60, (370, 4))
    arguments = det_cell, boxes[:300], gt_cell, boxes[300:], rng.random(70) < 0.2
    whole = box_pairs(*arguments)
    monkeypatch.setattr("corrlight.metrics.matching._CHUNK", 5)
    pieces = box_pairs(*arguments)
    assert len(whole.iou) > 50
    for name in ("detection", "gt", "iou", "best_iou"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(pieces, name))


def _one_object():
    gt = {
        "images": [{"id": 3}],
        "categories": [{"id": 2}],
        "annotations": [
            {
                "id": 1,
                "image_id": 3,
                "category_id": 2,
                "bbox": [0.0, 0.0, 9.0, 9.0],
                "area": 81.0,
                "iscrowd": 0,
            }
        ],
    }
    return gt, [{"image_id": 3, "category_id": 2, "bbox": [0.0, 0.0, 9.0, 9.0], "score": 0.5}]


def test_masks_of_two_sizes_are_refused_where_they_do_not_overlap_either():
    """pycocotools itself compares the sizes of masks with overlapping boxes alone."""
    grid = np.zeros((20, 20), np.uint8, order="F")
    grid[:3, :3] = 1
    other = np.zeros((20, 30), np.uint8, order="F")
    other[15:, 15:] = 1
    first, second = mask_utils.encode(grid), mask_utils.encode(other)
    cell, crowd = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=bool)
    with pytest.raises(MaskError, match=r"one size within an image, .*\(20, 20\), \(20, 30\)"):
        mask_pairs(cell, [first], cell, [second], crowd)
