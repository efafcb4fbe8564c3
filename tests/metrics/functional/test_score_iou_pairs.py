import numpy as np
import torch
from torchvision.ops import box_iou

from corrlight.metrics import Evaluation
from corrlight.metrics.functional import score_iou_pairs
from tests.metrics.coco_oracle import random_dataset


def corners(boxes):
    boxes = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
    return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


def test_best_iou_with_an_object_of_the_class():
    gt, dt = random_dataset(np.random.default_rng(0), 8, 3, ties=True, crowds=True)
    points = score_iou_pairs(Evaluation.from_coco(gt, dt))
    assert points.scores.tolist() == [d["score"] for d in dt]
    assert any(a["iscrowd"] for a in gt["annotations"])
    for d, iou in zip(dt, points.ious, strict=True):
        rivals = [
            a["bbox"]
            for a in gt["annotations"]
            if (a["image_id"], a["category_id"]) == (d["image_id"], d["category_id"])
            and not a["iscrowd"]
        ]
        expected = box_iou(corners([d["bbox"]]), corners(rivals)).max().item() if rivals else 0.0
        np.testing.assert_allclose(iou, expected, atol=1e-12)
    assert (points.ious > 0).sum() > 10
