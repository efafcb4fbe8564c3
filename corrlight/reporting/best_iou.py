"""The IoU of a detection with the object that it covers best, without torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "best_same_class_iou"]

Array = npt.NDArray[Any]


def best_same_class_iou(
    boxes: npt.ArrayLike,
    labels: npt.ArrayLike,
    gt_boxes: npt.ArrayLike,
    gt_labels: npt.ArrayLike,
) -> Array:
    """Return every detection's largest IoU with an object of its own class (y axis of Figure 2.2).

    Args:
        boxes: ``(D, 4)`` detections of one image.
        labels: ``(D,)`` their classes.
        gt_boxes: ``(G, 4)`` objects of the same image, in the same pixels.
        gt_labels: ``(G,)`` their classes.

    Returns:
        ``(D,)`` float64 in [0, 1]; 0 where the image has no object of that class.

    >>> best_same_class_iou([[0, 0, 4, 4], [0, 0, 4, 4]], [1, 0], [[0, 0, 4, 2]], [1])
    array([0.5, 0. ])
    """
    detected = np.asarray(boxes, np.float64).reshape(-1, 1, 4)
    objects = np.asarray(gt_boxes, np.float64).reshape(1, -1, 4)
    if not detected.size or not objects.size:
        return np.zeros(len(detected))
    low = np.maximum(detected[..., :2], objects[..., :2])
    high = np.minimum(detected[..., 2:], objects[..., 2:])
    intersection = np.clip(high - low, 0, None).prod(-1)  # (D, G)
    areas = [np.clip(b[..., 2:] - b[..., :2], 0, None).prod(-1) for b in (detected, objects)]
    union = areas[0] + areas[1] - intersection
    ious = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
    same = np.asarray(labels).reshape(-1, 1) == np.asarray(gt_labels).reshape(1, -1)
    best: Array = np.where(same, ious, 0.0).max(1)
    return best
