"""Post-processing of torchvision's Faster and Mask R-CNN."""

from __future__ import annotations

from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from corrlight.postprocess.class_boxes import ClassBoxPostprocessor as _Plain

__all__ = ["ClassBoxPostprocessor"]


class ClassBoxPostprocessor(_Plain):
    """As :class:`corrlight.postprocess.ClassBoxPostprocessor`, masks as torchvision pastes them.

    Args:
        score_thresh: Pairs of hypothesis and class must score more than this.
        nms_thresh: IoU above which the lower-scored box of the same class is dropped.
        max_detections: Detections of an image at most.
        min_size: Boxes with a shorter side, in pixels, are dropped.

    Raises:
        ValueError: An argument is out of range.
    """

    activation = "softmax"

    def __init__(
        self,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        max_detections: int = 100,
        min_size: float = 0.01,
    ) -> None:
        super().__init__(score_thresh, nms_thresh, max_detections, min_size)

    def _paste(self, probabilities: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        """Return ``(K, H, W)`` bool masks of ``(K, m, m)`` probabilities inside boxes."""
        # torchvision rounds boxes to pixels and takes more than a half.
        pasted: Tensor = paste_masks_in_image(probabilities[:, None], boxes, size)
        return pasted[:, 0] > 0.5
