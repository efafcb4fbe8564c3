import numpy as np
import pytest

from corrlight.metrics import Evaluation
from corrlight.metrics.errors.confusion import confusion_matrix
from tests.metrics.errors.cases import case
from tests.metrics.errors.test_types import SIZE, files

OBJECTS = [
    (1, 1, [0, 0, *SIZE], 0),
    (1, 1, [200, 0, *SIZE], 0),
    (1, 2, [400, 0, *SIZE], 0),
    (1, 3, [600, 0, *SIZE], 0),
    (2, 2, [0, 0, *SIZE], 1),
]
FOUND = [
    (1, 1, [0, 0, 90, 100], 0.9),  # IoU 0.9: the object is its
    (1, 1, [0, 0, 80, 100], 0.95),  # IoU 0.8, left over in spite of its score
    (1, 2, [200, 0, *SIZE], 0.5),  # another class
    (1, 2, [400, 0, *SIZE], 0.2),  # too low a score
    (1, 3, [600, 0, 40, 100], 0.9),  # IoU 0.4
    (2, 2, [0, 0, *SIZE], 0.9),  # in a crowd of its class
    (2, 3, [0, 0, *SIZE], 0.9),  # in a crowd of another class
]


def matrix(found=FOUND, objects=OBJECTS, **options):
    return confusion_matrix(Evaluation.from_coco(*files(objects, found)), **options)


def test_by_hand():
    found = matrix()
    assert found.counts.tolist() == [
        # 1, 2, 3, missed
        [1, 1, 0, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 1],
        [1, 0, 2, 0],  # background
    ]
    assert found.num_ignored == 1
    assert found.confusions() == [(0, 1, 1)]
    assert found.shares[0].tolist() == [0.5, 0.5, 0, 0]


def test_thresholds():
    found = matrix(min_score=0.2, min_iou=0.4)
    assert found.counts.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 1, 0]]
    with pytest.raises(ValueError, match="`min_iou` to be in"):
        matrix(min_iou=0)
    with pytest.raises(ValueError, match="finite `min_score`"):
        matrix(min_score=float("nan"))


def test_a_detection_takes_its_second_best_object():
    objects = [(1, 1, [0, 0, *SIZE], 0), (1, 1, [10, 0, *SIZE], 0)]
    found = [(1, 1, [0, 0, *SIZE], 0.9), (1, 2, [2, 0, *SIZE], 0.8)]
    assert matrix(found, objects).counts[0].tolist() == [1, 1, 0, 0]


def test_ties_go_to_the_higher_score_then_to_the_same_class():
    box = [0, 0, *SIZE]
    counts = matrix([(1, 1, box, 0.6), (1, 2, box, 0.9)], [(1, 1, box, 0)]).counts
    assert counts[0].tolist() == [0, 1, 0, 0]
    assert counts[3].tolist() == [1, 0, 0, 0]
    counts = matrix([(1, 2, box, 0.6)], [(1, 1, box, 0), (1, 2, box, 0)]).counts
    assert counts[1].tolist() == [0, 1, 0, 0]


def brute_force(truth, results, min_score, min_iou):
    """The rules one pair at a time."""
    categories = sorted(c["id"] for c in truth["categories"])
    n = len(categories)
    counts = np.zeros((n + 1, n + 1), dtype=int)
    for image in truth["images"]:
        dt = [d for d in results if d["image_id"] == image["id"] and d["score"] >= min_score]
        gt = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        pairs = []
        for i, d in enumerate(dt):
            for j, a in enumerate(gt):
                (x, y, w, h), (u, v, p, q) = d["bbox"], a["bbox"]
                across = max(0, min(x + w, u + p) - max(x, u))
                inside = across * max(0, min(y + h, v + q) - max(y, v))
                union = w * h if a["iscrowd"] else w * h + p * q - inside
                iou = inside / union if inside else 0
                other = d["category_id"] != a["category_id"]
                if iou >= min_iou:
                    pairs.append((a["iscrowd"], -iou, -d["score"], other, i, j))
        found, left = set(), set()
        for crowd, _, _, other, i, j in sorted(pairs):
            if crowd:
                if i not in found and not other:
                    found.add(i)
            elif i not in found and j not in left:
                found.add(i)
                left.add(j)
                row, column = (categories.index(e["category_id"]) for e in (gt[j], dt[i]))
                counts[row, column] += 1
        for i, d in enumerate(dt):
            counts[n, categories.index(d["category_id"])] += i not in found
        for j, a in enumerate(gt):
            missed = not a["iscrowd"] and j not in left
            counts[categories.index(a["category_id"]), n] += missed
    return counts


@pytest.mark.parametrize("name", ["many", "crowds", "full", "odd"])
def test_equals_one_pair_at_a_time(name):
    truth, results = case(name)
    found = confusion_matrix(Evaluation.from_coco(truth, results), 0.3, 0.5)
    np.testing.assert_array_equal(found.counts, brute_force(truth, results, 0.3, 0.5))


def test_sums_are_objects_and_detections():
    truth, results = case("everything")
    found = confusion_matrix(Evaluation.from_coco(truth, results), 0.0)
    assert found.counts[:-1].sum() == sum(not a["iscrowd"] for a in truth["annotations"])
    assert found.counts[:, :-1].sum() + found.num_ignored == len(results)


def test_without_anything():
    found = matrix([], [])
    assert not found.counts.any()
    assert np.isnan(found.shares).all()
