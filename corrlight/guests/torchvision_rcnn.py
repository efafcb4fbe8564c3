"""Faster and Mask R-CNN of torchvision in our training, with their own losses and matching."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import fastrcnn_loss, maskrcnn_loss

from corrlight.detectors.base import Detector
from corrlight.guests.own import OwnPredictions
from corrlight.guests.torchvision_dense import background_last, labels_of
from corrlight.modes.full_precision import full_precision
from corrlight.plug.override import Override
from corrlight.structures import (
    BACKGROUND,
    Activation,
    Batch,
    Match,
    PredictionField,
    Predictions,
    RegionMasks,
)

__all__ = ["TorchvisionRCNN"]


class TorchvisionRCNN(Detector):
    """The second stage of Faster or Mask R-CNN as one stage; losses are those of both.

    The hypotheses are proposals: in training those that the model samples for its losses, objects
    included, otherwise all that it has, matched with the same thresholds. Outside of training its
    losses are computed too, from a sample that is always the same.

    Args:
        model: A Faster or Mask R-CNN of torchvision.
        num_classes: Foreground classes C.

    Raises:
        ValueError: It is another model.
    """

    activation: ClassVar[Activation] = "softmax"
    background_first: ClassVar[bool] = True
    rows_per_class: ClassVar[Mapping[str, int]] = {"box_predictor.bbox_pred": 4}

    def __init__(self, model: nn.Module, num_classes: int) -> None:
        super().__init__()
        if not isinstance(model, GeneralizedRCNN) or model.roi_heads.has_keypoint():
            raise ValueError(
                "Expected `model` to be Faster or Mask R-CNN of torchvision, but got a "
                f"{type(model).__name__}: TorchvisionDense takes FCOS, RetinaNet and SSD."
            )
        self.model, self.num_classes = model, num_classes
        self._overrides = [
            Override(model.rpn, f"{when}_nms_top_n", _TopN(self, model.rpn, f"_{when}_nms_top_n"))
            for when in ("pre", "post")
        ]
        self.train(self.training)

    @property
    def gives(self) -> tuple[PredictionField, ...]:
        """Boxes for every class, and masks where there is a head for them."""
        if self.model.roi_heads.has_mask():
            return ("class_boxes", "region_masks")
        return ("class_boxes",)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the proposals' network computes its losses in both."""
        super().train(mode)
        # Of the module alone: what is below it keeps the mode.
        self.model.rpn.training = True
        return self

    def forward(self, batch: Batch) -> list[Predictions]:
        """Return the predictions for the proposals with the detector's matching and losses."""
        images = batch.images
        features = self.model.backbone(images)
        if isinstance(features, Tensor):
            features = {"0": features}
        targets = labels_of(batch.targets)
        with _sampling(self.training, images.device):
            listed = ImageList(images, batch.valid_sizes)
            proposals, losses = self.model.rpn(listed, features, targets)
            sampled = self._sample(proposals, targets)
            scores, codes, more = self._second_stage(sampled, features, batch, targets)
        return [self._predictions(sampled, scores, codes, {**losses, **more}, features, batch)]

    def _sample(self, proposals: list[Tensor], targets: list[dict[str, Tensor]]) -> _Sample:
        heads = self.model.roi_heads
        if self.training:
            chosen, matched, labels, codes = heads.select_training_samples(proposals, targets)
            rows = [torch.ones(len(c), dtype=torch.bool, device=c.device) for c in chosen]
            return _Sample(chosen, matched, labels, rows, codes)
        boxes, classes = ([t[key] for t in targets] for key in ("boxes", "labels"))
        matched, labels = heads.assign_targets_to_proposals(proposals, boxes, classes)
        rows = []
        for own, kept in zip(labels, heads.subsample(labels), strict=True):
            rows.append(torch.zeros(len(own), dtype=torch.bool, device=own.device))
            rows[-1][kept] = True
        objects = [
            b[m] if len(b) else torch.zeros(len(m), 4, device=m.device)
            for b, m in zip(boxes, matched, strict=True)
        ]
        return _Sample(proposals, matched, labels, rows, heads.box_coder.encode(objects, proposals))

    def _second_stage(
        self,
        sample: _Sample,
        features: dict[str, Tensor],
        batch: Batch,
        targets: list[dict[str, Tensor]],
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return scores ``(R, C + 1)`` and codes ``(R, 4 (C + 1))`` of proposals, and losses."""
        heads, sizes = self.model.roi_heads, batch.valid_sizes
        pooled = heads.box_roi_pool(features, sample.proposals, sizes)
        scores, codes = (o.float() for o in heads.box_predictor(heads.box_head(pooled)))
        rows = torch.cat(sample.rows)
        with full_precision(batch.images):
            classifier, regression = fastrcnn_loss(
                scores[rows],
                codes[rows],
                [v[r] for v, r in zip(sample.labels, sample.rows, strict=True)],
                [v[r] for v, r in zip(sample.codes, sample.rows, strict=True)],
            )
        losses = {"loss_classifier": classifier, "loss_box_reg": regression}
        if heads.has_mask():
            positive = [r & (v > 0) for v, r in zip(sample.labels, sample.rows, strict=True)]
            boxes = [p[k] for p, k in zip(sample.proposals, positive, strict=True)]
            logits = self._mask_logits(features, boxes, sizes)
            if any("masks" not in target for target in targets):
                raise ValueError(
                    "Expected data with masks for Mask R-CNN, but got none: `data.load_masks=true`."
                )
            losses["loss_mask"] = maskrcnn_loss(
                logits,
                boxes,
                [t["masks"] for t in targets],
                [t["labels"] for t in targets],
                [m[k] for m, k in zip(sample.matched, positive, strict=True)],
            )
        return scores, codes, losses

    def _mask_logits(self, features: Any, boxes: list[Tensor], sizes: Any) -> Tensor:
        heads = self.model.roi_heads
        pooled = heads.mask_roi_pool(features, boxes, sizes)
        logits: Tensor = heads.mask_predictor(heads.mask_head(pooled))
        return logits.float()

    def _predictions(
        self,
        sample: _Sample,
        scores: Tensor,
        codes: Tensor,
        losses: dict[str, Tensor],
        features: dict[str, Tensor],
        batch: Batch,
    ) -> Predictions:
        counts = [len(p) for p in sample.proposals]
        coder = self.model.roi_heads.box_coder
        # (R, C, 4), the background's left out.
        class_boxes = coder.decode(codes, sample.proposals)[:, 1:].float()
        kinds = torch.cat(sample.labels)
        # The box of a positive is that of its object's class, of others that of the best one.
        best = torch.where(kinds > 0, kinds - 1, scores[:, 1:].argmax(1))
        boxes = class_boxes[torch.arange(len(best), device=best.device), best]
        gt_idx = torch.where(kinds > 0, torch.cat(sample.matched), BACKGROUND)

        def padded(values: Tensor, fill: float = 0.0) -> Tensor:
            return pad_sequence(list(values.split(counts)), batch_first=True, padding_value=fill)

        logits = padded(background_last(scores))
        heads = self.model.roi_heads
        return OwnPredictions(
            logits=logits,
            boxes=padded(boxes),
            level_idx=torch.zeros(logits.shape[1], dtype=torch.long, device=logits.device),
            activation=self.activation,
            valid=padded(torch.ones_like(kinds)).bool(),
            match=Match(gt_idx=padded(gt_idx, BACKGROUND)),
            losses=losses,
            class_boxes=padded(class_boxes),
            region_masks=_Masks(self, features, batch) if heads.has_mask() else None,
        )


@dataclass(frozen=True, slots=True)
class _Sample:
    """Proposals, and what was made of them, image by image.

    ``matched`` and ``labels`` count objects from 0 and classes from 1; ``rows`` are those that the
    losses are computed from, ``codes`` the boxes that they should have.
    """

    proposals: list[Tensor]
    matched: list[Tensor]
    labels: list[Tensor]
    rows: list[Tensor]
    codes: Any


class _TopN:
    """How many proposals there are, by the mode of the detector."""

    def __init__(self, detector: TorchvisionRCNN, rpn: nn.Module, name: str) -> None:
        # In a list, or the module would be one of its own parts.
        self.detector, self.rpn, self.name = [detector], rpn, name

    def __call__(self) -> int:
        numbers = getattr(self.rpn, self.name)
        return int(numbers["training" if self.detector[0].training else "testing"])


class _Masks(RegionMasks):
    """The masks of detections, by the mask head."""

    def __init__(
        self, detector: TorchvisionRCNN, features: dict[str, Tensor], batch: Batch
    ) -> None:
        self.detector, self.features, self.batch = detector, features, batch

    def logits(self, image_idx: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        order = image_idx.argsort(stable=True)
        counts = image_idx.bincount(minlength=len(self.batch)).tolist()
        split = list(boxes[order].split(counts))
        rows = self.detector._mask_logits(self.features, split, self.batch.valid_sizes)
        own = torch.empty_like(rows[:, 0])
        own[order] = rows[torch.arange(len(rows), device=rows.device), labels[order] + 1]
        return own

    def sizes(self, image: int) -> tuple[tuple[int, int], tuple[int, int]]:
        target = self.batch.targets[image]
        return target.valid_size, target.original_size


@contextmanager
def _sampling(training: bool, device: torch.device) -> Iterator[None]:
    """Draw samples: outside of training always the same, and without using up random numbers."""
    if training:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield
