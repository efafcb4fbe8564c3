import numpy as np
import pytest
from pycocotools import mask as mask_utils

from corrlight.metrics import Evaluation
from corrlight.metrics.errors.overlaps import best_pairs, overlaps
from tests.metrics.errors.cases import case


@pytest.mark.parametrize(("name", "key"), [("everything", "bbox"), ("masks_ties", "segmentation")])
def test_pairs_are_those_of_pycocotools(name, key):
    truth, results = case(name)
    found = overlaps(Evaluation.from_coco(truth, results, masks=key == "segmentation"), 0.1, 0.25)
    pairs = set(zip(found.det_label[found.detection], found.iou.round(12), strict=True))
    expected, same = [], 0
    categories = sorted(c["id"] for c in truth["categories"])
    for image in truth["images"]:
        dt = [d for d in results if d["image_id"] == image["id"] and d["score"] >= 0.25]
        gt = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        if not (dt and gt):
            continue
        iou = mask_utils.iou([d[key] for d in dt], [a[key] for a in gt], [a["iscrowd"] for a in gt])
        for d, g in zip(*np.nonzero(iou >= 0.1), strict=True):
            expected.append((categories.index(dt[d]["category_id"]), iou[d, g].round(12)))
            same += dt[d]["category_id"] == gt[g]["category_id"]
    assert pairs == set(expected)
    assert len(found.iou) == len(expected)
    assert found.same_class.sum() == same
    assert len(found.det_label) == sum(d["score"] >= 0.25 for d in results)
    # Detections by image in the order of the file, then by score.
    order = np.lexsort((-found.score, found.det_image))
    assert np.array_equal(found.score[order], found.score)


def test_the_best_pair_is_the_first_of_equals():
    truth, results = case("ties")
    found = overlaps(Evaluation.from_coco(truth, results), 0.1)
    iou, gt = best_pairs(found, found.of_object)
    for d in range(len(iou)):
        mine = np.flatnonzero((found.detection == d) & found.of_object)
        if not len(mine):
            assert (iou[d], gt[d]) == (0, -1)
            continue
        assert iou[d] == found.iou[mine].max()
        assert gt[d] == found.gt[mine[np.argmax(found.iou[mine])]]
    none = best_pairs(found, np.zeros(len(found.iou), dtype=bool))
    assert not none[0].any()
    assert (none[1] == -1).all()
