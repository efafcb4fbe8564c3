"""What was found in one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from corrlight.structures import Size

__all__ = ["Prediction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The detections of a picture, by descending score; all tensors are on the CPU.

    Attributes:
        boxes: ``(n, 4)`` float32, xyxy in pixels of the picture that was given.
        scores: ``(n,)`` float32 in [0, 1].
        labels: ``(n,)`` int64 classes in ``[0, C)``.
        class_names: The n names of the classes.
        category_ids: The n category ids of the classes in the data that the run was trained on.
        size: Height and width of the picture.
        rles: COCO run-length encodings of the masks, or None for detectors without masks.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    size: Size
    rles: list[dict[str, Any]] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def masks(self) -> Tensor | None:
        """``(n, height, width)`` bool, decoded anew each time; None without masks."""
        if self.rles is None:
            return None
        masks = np.zeros((len(self.rles), *self.size), bool)
        for mask, rle in zip(masks, self.rles, strict=True):
            mask[:] = coco_mask.decode(rle)
        return torch.from_numpy(masks)

    def above(self, score: float) -> Prediction:
        """Return the detections that score at least ``score``."""
        kept = (self.scores >= score).nonzero().squeeze(1)
        if len(kept) == len(self):
            return self
        rows = kept.tolist()
        return Prediction(
            boxes=self.boxes[kept],
            scores=self.scores[kept],
            labels=self.labels[kept],
            class_names=tuple(self.class_names[k] for k in rows),
            category_ids=tuple(self.category_ids[k] for k in rows),
            size=self.size,
            rles=None if self.rles is None else [self.rles[k] for k in rows],
        )

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """Return the detections as a COCO results list, unrounded, as ``mode=test`` writes them."""
        corners = self.boxes.double()
        boxes = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1).tolist()
        content: list[dict[str, Any]] = [
            {"image_id": image_id, "category_id": c, "bbox": b, "score": s}
            for c, b, s in zip(self.category_ids, boxes, self.scores.double().tolist(), strict=True)
        ]
        for detection, rle in zip(content, self.rles or (), strict=False):
            detection["segmentation"] = rle
        return content
