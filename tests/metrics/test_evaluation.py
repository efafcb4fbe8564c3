import numpy as np
from pycocotools import mask as coco_mask

from corrlight.metrics.evaluation import Evaluation


def test_areas_of_many_masks():
    """More than 255 at once are too many for pycocotools 2.0.11."""
    bits = np.zeros((20, 30, 300), np.uint8, order="F")
    for k in range(300):
        bits[: 1 + k % 20, : 1 + k // 20, k] = 1
    rles = [{**r, "counts": r["counts"].decode()} for r in coco_mask.encode(bits)]
    annotations = {
        "images": [{"id": 1, "height": 20, "width": 30}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [0, 0, 5, 5],
                "area": 25,
                "iscrowd": 0,
                "segmentation": rles[84],
            }
        ],
    }
    found = [
        {"image_id": 1, "category_id": 1, "score": 1 - k / 300, "segmentation": rle}
        for k, rle in enumerate(rles)
    ]
    evaluation = Evaluation.from_coco(annotations, found, masks=True)
    assert evaluation.areas.tolist() == bits.sum((0, 1)).tolist()
