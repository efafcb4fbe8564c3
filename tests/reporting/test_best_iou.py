"""Best IoU with a same-class object, against torchvision."""

import numpy as np
import torch
from torchvision.ops import box_iou

from corrlight.reporting.best_iou import best_same_class_iou


def _boxes(rng, count):
    corner = rng.random((count, 2)) * 50
    return np.concatenate([corner, corner + rng.random((count, 2)) * 40], 1)


def test_equals_torchvision_per_class():
    rng = np.random.default_rng(0)
    boxes, gt_boxes = _boxes(rng, 200), _boxes(rng, 30)
    labels, gt_labels = rng.integers(0, 4, 200), rng.integers(0, 4, 30)
    ious = box_iou(torch.from_numpy(boxes), torch.from_numpy(gt_boxes)).numpy()
    expected = [max(row[gt_labels == k], default=0.0) for row, k in zip(ious, labels, strict=True)]
    found = best_same_class_iou(boxes, labels, gt_boxes, gt_labels)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert (found > 0.5).any()
    assert (found == 0).any()


def test_other_classes_and_empty_sides_give_zero():
    box = [[0.0, 0.0, 4.0, 4.0]]
    assert best_same_class_iou(box, [1], box, [0]).tolist() == [0.0]
    assert best_same_class_iou(box, [1], np.zeros((0, 4)), []).tolist() == [0.0]
    assert best_same_class_iou(np.zeros((0, 4)), [], box, [0]).shape == (0,)


def test_boxes_without_area():
    point = [[3.0, 3.0, 3.0, 3.0]]
    assert best_same_class_iou(point, [0], point, [0]).tolist() == [0.0]
