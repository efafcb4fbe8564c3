"""FCOS, RetinaNet and SSD of torchvision in our training, with their own losses and matching."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD

from corrlight.detectors.base import Detector
from corrlight.guests.own import OwnPredictions
from corrlight.modes.full_precision import full_precision
from corrlight.plug.override import Override
from corrlight.plug.torchvision import dense_losses
from corrlight.structures import Activation, Batch, Match, PredictionField, Predictions, Targets

__all__ = ["TorchvisionDense", "background_last", "labels_of", "named"]


class TorchvisionDense(Detector):
    """A dense detector of torchvision as one stage.

    Pictures come as our data make them: resized, normalised and padded there, not by the model.
    torchvision counts the background as class 0; outside of the model it is the last one, or none.

    Args:
        model: A FCOS, RetinaNet or SSD of torchvision.
        num_classes: Foreground classes C.

    Raises:
        ValueError: It is another model.
    """

    background_first: ClassVar[bool] = True

    def __init__(self, model: nn.Module, num_classes: int) -> None:
        super().__init__()
        if not isinstance(model, FCOS | RetinaNet | SSD):
            raise ValueError(
                "Expected `model` to be FCOS, RetinaNet or SSD of torchvision, but got a "
                f"{type(model).__name__}: TorchvisionRCNN takes Faster and Mask R-CNN."
            )
        self.model, self.num_classes = model, num_classes
        self._matched: Tensor | None = None
        owner = model if isinstance(model, SSD) else model.head
        self._override = Override(owner, "compute_loss", self._compute_loss)

    @property
    def activation(self) -> Activation:
        """Softmax for SSD, sigmoid for the others."""
        return "softmax" if isinstance(self.model, SSD) else "sigmoid"

    @property
    def gives(self) -> Collection[PredictionField]:
        """Centerness for FCOS."""
        given: tuple[PredictionField, ...] = ("quality",) if isinstance(self.model, FCOS) else ()
        return given

    def forward(self, batch: Batch) -> list[Predictions]:
        """Return the predictions of all levels with the detector's matching and losses."""
        model, images = self.model, batch.images
        features = model.backbone(images)
        features = [features] if isinstance(features, Tensor) else list(features.values())
        # A loss in bfloat16 would be another one.
        outputs = {name: value.float() for name, value in model.head(features).items()}
        anchors = model.anchor_generator(ImageList(images, batch.valid_sizes), features)
        locations = [f.shape[-2] * f.shape[-1] for f in features]
        with full_precision(images):
            losses = dense_losses(model, labels_of(batch.targets), outputs, anchors, locations)
            # FCOS' coder takes boxes in a row like codes; the others have a function for that.
            coder = model.box_coder
            decode = coder.decode if isinstance(model, FCOS) else coder.decode_single
            boxes = torch.stack(
                [decode(c, a) for c, a in zip(outputs["bbox_regression"], anchors, strict=True)]
            )
        matched, self._matched = self._matched, None
        assert matched is not None  # compute_loss was called
        counts = model.anchor_generator.num_anchors_per_location()
        sizes = torch.tensor([n * a for n, a in zip(locations, counts, strict=True)])
        logits = outputs["cls_logits"]
        softmax = self.activation == "softmax"
        quality = outputs["bbox_ctrness"].squeeze(-1) if "bbox_ctrness" in outputs else None
        return [
            OwnPredictions(
                logits=background_last(logits) if softmax else logits[..., 1:],
                boxes=boxes,
                level_idx=torch.arange(len(sizes)).repeat_interleave(sizes).to(images.device),
                activation=self.activation,
                valid=torch.ones(logits.shape[:2], dtype=torch.bool, device=images.device),
                quality=quality,
                match=Match(gt_idx=matched),
                losses=named(losses),
            )
        ]

    def _compute_loss(
        self,
        targets: Any,
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> Any:
        """Keep the matching of the loss."""
        self._matched = torch.stack(matched_idxs)
        return self._override.original(targets, head_outputs, anchors, matched_idxs)


def labels_of(targets: Sequence[Targets]) -> list[dict[str, Tensor]]:
    """Return targets as torchvision has them; masks are in there if the data have some."""
    found = [{"boxes": t.boxes, "labels": t.labels + 1} for t in targets]
    for own, target in zip(found, targets, strict=True):
        if target.masks is not None:
            own["masks"] = target.masks.to(torch.uint8)
    return found


def background_last(logits: Tensor) -> Tensor:
    """Return ``(..., C + 1)`` logits whose first column is moved to the end."""
    return torch.cat([logits[..., 1:], logits[..., :1]], -1)


def named(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return torchvision's losses under names that all begin with ``loss_``."""
    return {n if n.startswith("loss_") else f"loss_{n}": value for n, value in losses.items()}
