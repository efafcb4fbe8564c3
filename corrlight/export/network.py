"""A trained detector as one module of tensors: pictures in, detections out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corrlight.export.detections import fixed_postprocessor
from corrlight.modes.tracing import tensor_of_sizes
from corrlight.predict.model import Model
from corrlight.structures import Batch, MaskPredictions, Targets

__all__ = ["ExportNetwork"]


class ExportNetwork(nn.Module):
    """Whole pictures to what a file of the run gives.

    Pictures are ``(B, 3, H, W)`` floating-point numbers from 0 to 255, RGB, resized already, their
    sides multiples of ``size_divisor``; the normalisation is inside. Boxes are in their pixels.

    Args:
        model: The run.
        raw: Give the predictions before post-processing.

    Raises:
        ValueError: The run's post-processor is not one of corrlight's, or the detector has as many
            hypotheses as a picture has proposals (Faster R-CNN).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Model, raw: bool = False) -> None:
        super().__init__()
        gives = getattr(model.detector, "gives", ())
        if "class_boxes" in gives:
            raise ValueError(
                "Expected a detector with as many hypotheses in every picture, but got "
                f"{type(model.detector).__name__}, whose proposals depend on the picture: "
                "`corrlight predict` runs it."
            )
        self.detector, self.raw = model.detector, raw
        self.register_buffer("mean", model.collate.mean.clone(), persistent=False)
        self.register_buffer("std", model.collate.std.clone(), persistent=False)
        self.postprocess = None if raw else fixed_postprocessor(model.postprocessor)
        self.mask_thresh = float(getattr(model.postprocessor, "mask_thresh", 0.5))
        self.quality, self.mask = "quality" in gives, "mask" in gives

    @property
    def output_names(self) -> tuple[str, ...]:
        """What :meth:`forward` returns, by name."""
        if not self.raw:
            return ("boxes", "scores", "labels", *(["masks"] if self.mask else []))
        return (
            "logits",
            "boxes",
            *(["quality"] if self.quality else []),
            *(["coefficients", "prototypes"] if self.mask else []),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs in the order of :attr:`output_names`.

        With post-processing: boxes ``(B, K, 4)``, scores ``(B, K)``, labels ``(B, K)`` int64 (rows
        without a detection have score 0 and label -1), and of detectors with masks ``(B, K, H, W)``
        bool. Raw: logits ``(B, N, C)`` (softmax: ``C + 1``, background last), boxes ``(B, N, 4)``,
        and what the detector has of quality ``(B, N)``, coefficients ``(B, N, P)`` and prototypes
        ``(B, P, h, w)``.
        """
        size = (images.shape[2], images.shape[3])
        # The sizes are those of all images, so that their number may be anything.
        targets = Targets(
            boxes=images.new_zeros(0, 4),
            labels=torch.zeros(0, dtype=torch.int64, device=images.device),
            valid_size=size,
            padded_size=size,
            original_size=size,
            image_id=0,
        )
        batch = Batch(images=(images - self.mean) / self.std, targets=(targets,))
        found = self.detector(batch)[-1]
        if self.postprocess is None:
            outputs = [found.logits, found.boxes]
            if found.quality is not None:
                outputs.append(found.quality)
            if found.mask is not None:
                outputs += [found.mask.coefficients, found.mask.prototypes]
            return tuple(outputs)
        levels = found.level_sizes or (found.boxes.shape[1],)
        sides = tensor_of_sizes([size], images.device)[0]
        boxes, scores, labels, pred_idx = self.postprocess(found, levels, sides)
        if found.mask is None:
            return boxes, scores, labels
        return boxes, scores, labels, self._masks(found.mask, boxes, pred_idx, size)

    def _masks(
        self, mask: MaskPredictions, boxes: Tensor, pred_idx: Tensor, size: Sequence[int]
    ) -> Tensor:
        """Return ``(B, K, H, W)`` bool masks of whole pictures, as ``encode_masks`` does."""
        prototypes = mask.prototypes.float()  # (B, P, h, w)
        columns = mask.coefficients.shape[2]
        own = mask.coefficients.gather(1, pred_idx[..., None].expand(-1, -1, columns)).float()
        height, width = prototypes.shape[2], prototypes.shape[3]
        maps = (own @ prototypes.flatten(2)).sigmoid().unflatten(2, (height, width))
        device = boxes.device
        (of_input, of_map) = tensor_of_sizes(
            [(w, h, w, h) for h, w in (size, (height, width))], device, boxes.dtype
        )
        corners = boxes / of_input * of_map
        low, high = corners[..., :2] - 1, corners[..., 2:] + 1  # (B, K, 2), x before y
        y, x = (torch.arange(n, device=device) for n in (height, width))
        rows = (y >= low[..., 1:]) & (y < high[..., 1:])  # (B, K, h)
        within = (x >= low[..., :1]) & (x < high[..., :1])
        inside = rows[..., :, None] & within[..., None, :]
        enlarged = F.interpolate(maps * inside, size=list(size), mode="bilinear")
        return enlarged > self.mask_thresh
