"""What the tables of COCO files are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

__all__ = ["Array", "ImageRecord", "Rle"]

Array = npt.NDArray[Any]
# A mask as COCO writes it: {"size": [height, width], "counts": ...}.
Rle = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """Everything kept of one evaluated image; plain arrays, so it gathers across processes.

    Attributes:
        image_id: The data set's id.
        boxes: ``(D, 4)`` float64 final boxes, xyxy in the pixels of the file.
        scores: ``(D,)`` ranking scores.
        labels: ``(D,)`` classes in ``[0, C)``.
        positive_scores: ``(P,)`` class scores of the training assigner's positives, last stage.
        positive_ranking_scores: ``(P,)`` their ranking scores (class score times quality), or None.
        positive_ious: ``(P,)`` IoU of each positive with its ground truth.
        masks: COCO run-length encodings of the detections, or None.
    """

    image_id: int
    boxes: Array
    scores: Array
    labels: Array
    positive_scores: Array
    positive_ious: Array
    positive_ranking_scores: Array | None = None
    masks: list[Rle] | None = None
