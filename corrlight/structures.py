"""The contracts: everything that travels between the parts of corrlight.

Letters used in every docstring: B images, N hypotheses per image, C foreground classes, P positives
of a batch, G ground truths of one image, D detections of one image. Boxes are absolute ``xyxy`` in
input pixels; sizes are ``(height, width)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor

from corrlight.boxes import paired_iou, scale_boxes

__all__ = [
    "BACKGROUND",
    "IGNORED",
    "Activation",
    "Batch",
    "Detections",
    "MaskPredictions",
    "Match",
    "Positives",
    "PredictionField",
    "Predictions",
    "RegionMasks",
    "ScoreOverride",
    "StepOutput",
    "Targets",
]

# The values of torchvision's Matcher.
BACKGROUND = -1
IGNORED = -2

Activation = Literal["sigmoid", "softmax"]
# What `Predictions` may leave out; parts say what of it they give and need.
PredictionField = Literal[
    "priors",
    "deltas",
    "quality",
    "mask",
    "distribution",
    "coarse_boxes",
    "class_boxes",
    "region_masks",
]
Size = tuple[int, int]


def _moved(value: Any, device: torch.device | str, non_blocking: bool) -> Any:
    return value.to(device, non_blocking=non_blocking) if isinstance(value, Tensor) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Ground truth of one image, in input pixels.

    Attributes:
        boxes: ``(G, 4)`` float32 boxes of the objects to be found, crowds excluded.
        labels: ``(G,)`` int64 classes in ``[0, C)``.
        valid_size: Height and width of the image content inside the batch.
        padded_size: Size of this image padded on its own; priors beyond it are invalid.
        original_size: Height and width of the file; detections are reported in it.
        image_id: The data set's id of the image.
        masks: ``(G, H, W)`` bool masks at the batch's size, or None.
        crowd_boxes: ``(K, 4)`` crowd regions; used only with ``train_ignore_crowd``.
    """

    boxes: Tensor
    labels: Tensor
    valid_size: Size
    padded_size: Size
    original_size: Size
    image_id: int
    masks: Tensor | None = None
    crowd_boxes: Tensor | None = None

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Return a copy whose tensors are on ``device``."""
        moved = {f.name: _moved(getattr(self, f.name), device, non_blocking) for f in fields(self)}
        return replace(self, **moved)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Images and their ground truth.

    Attributes:
        images: ``(B, 3, H, W)`` normalised images, zero outside each ``valid_size``.
        targets: One :class:`Targets` an image.
    """

    images: Tensor
    targets: tuple[Targets, ...]

    def __len__(self) -> int:
        return len(self.targets)

    # Lightning treats an object with `.to` as a leaf; without it a frozen dataclass is an error.
    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Return a copy whose tensors are on ``device``."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=non_blocking),
            targets=tuple(t.to(device, non_blocking) for t in self.targets),
        )

    def pin_memory(self) -> Self:
        """Return a copy with pinned images (called by PyTorch's DataLoader)."""
        return replace(self, images=self.images.pin_memory())

    @property
    def valid_sizes(self) -> list[Size]:
        """Height and width of the content of every image."""
        return [t.valid_size for t in self.targets]

    @property
    def padded_sizes(self) -> list[Size]:
        """Height and width of every image padded on its own."""
        return [t.padded_size for t in self.targets]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskPredictions:
    """What a mask detector adds to its predictions.

    Attributes:
        coefficients: ``(B, N, K)``.
        prototypes: ``(B, K, h, w)``, over the whole batch image.
        input_size: Height and width of the batch image.
        original_sizes: Height and width of every image's file, which masks are reported in.
        semantic_logits: ``(B, C, h', w')``, or None.
    """

    coefficients: Tensor
    prototypes: Tensor
    input_size: Size
    original_sizes: tuple[Size, ...]
    semantic_logits: Tensor | None = None


class RegionMasks(ABC):
    """Masks inside boxes, made when it is known of which (Mask R-CNN)."""

    @abstractmethod
    def logits(self, image_idx: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        """Return ``(K, m, m)`` logits, which fill the boxes, with gradient.

        Args:
            image_idx: ``(K,)`` image within the batch.
            boxes: ``(K, 4)`` in input pixels.
            labels: ``(K,)`` class of each mask.
        """

    @abstractmethod
    def sizes(self, image: int) -> tuple[Size, Size]:
        """Return height and width of the image's content and of its file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Raw detections of one stage, before post-processing.

    Attributes:
        logits: ``(B, N, C)`` for sigmoid, ``(B, N, C + 1)`` (background last) for softmax.
        boxes: ``(B, N, 4)`` decoded boxes, fp32.
        level_idx: ``(N,)`` FPN level, zeros without a pyramid, non-decreasing.
        activation: How logits become scores.
        valid: ``(B, N)`` bool; False for hypotheses outside an image's own padded size.
        priors: ``(N, 4)`` anchors shared by the images, or ``(B, N, 4)`` proposals of each, or
            None.
        deltas: ``(B, N, 4)`` encoded boxes relative to ``priors``, with ``class_boxes``
            ``(B, N, C, 4)``, or None.
        quality: ``(B, N)`` centerness or IoU logits, or None.
        mask: What mask detectors add, or None.
        distribution: ``(B, N, 4, K + 1)`` logits of the bins of each delta, whose mean it is, or
            None.
        coarse_boxes: ``(B, N, 4)`` decoded boxes before a refinement within the stage, or None.
        level_sizes: Hypotheses of every level, or None where ``level_idx`` alone tells.
        any_object: Whether the first class stands for objects of all classes: assigner, criterion
            and loss callbacks see every object as one of it.
        class_boxes: ``(B, N, C, 4)`` a decoded box for every class, of which ``boxes`` has the best
            class's, or None.
        region_masks: Makes masks inside boxes, or None.
        proposes: Whether the stage tells objects from background alone (C is 1, every object has
            label 0) and its boxes are the next stage's priors. No loss callback sees it.
        given: ``(B, N)`` the object whose own box is a hypothesis' prior, ``BACKGROUND`` for all
            others; None where there cannot be one.
        drawn: The match of the hypotheses where it was made before the head looked at them: there
            are those alone that losses see. None where the assigner is still to be asked.
    """

    logits: Tensor
    boxes: Tensor
    level_idx: Tensor
    activation: Activation
    valid: Tensor
    priors: Tensor | None = None
    deltas: Tensor | None = None
    quality: Tensor | None = None
    mask: MaskPredictions | None = None
    distribution: Tensor | None = None
    coarse_boxes: Tensor | None = None
    level_sizes: tuple[int, ...] | None = None
    any_object: bool = False
    class_boxes: Tensor | None = None
    region_masks: RegionMasks | None = None
    proposes: bool = False
    given: Tensor | None = None
    drawn: Match | None = None

    @property
    def num_classes(self) -> int:
        """Number of foreground classes C."""
        return self.logits.shape[-1] - (self.activation == "softmax")

    def wanted(self, targets: Sequence[Targets]) -> tuple[Targets, ...]:
        """Return the ground truth as this stage is asked for it."""
        if not (self.any_object or self.proposes):
            return tuple(targets)
        return tuple(replace(t, labels=torch.zeros_like(t.labels)) for t in targets)

    def scores_of(self, image_idx: Tensor, pred_idx: Tensor, labels: Tensor) -> Tensor:
        """Return the ``(P,)`` class scores of single hypotheses, differentiable.

        The logits are gathered first and the activation is applied to P rows only, so no
        ``(B, N, C)`` copy is made.
        """
        if self.activation == "sigmoid":
            return self.logits[image_idx, pred_idx, labels].float().sigmoid()
        rows = self.logits[image_idx, pred_idx].float().softmax(-1)  # (P, C + 1)
        return rows.gather(1, labels[:, None]).squeeze(1)

    def boxes_of(self, image_idx: Tensor, pred_idx: Tensor, labels: Tensor) -> Tensor:
        """Return the ``(P, 4)`` boxes of single hypotheses, of their class where it has its own."""
        if self.class_boxes is None:
            return self.boxes[image_idx, pred_idx]
        return self.class_boxes[image_idx, pred_idx, labels]

    def deltas_of(self, image_idx: Tensor, pred_idx: Tensor, labels: Tensor) -> Tensor:
        """Return the ``(P, 4)`` encoded boxes of single hypotheses, as :meth:`boxes_of`.

        Raises:
            ValueError: There are no encoded boxes.
        """
        if self.deltas is None:
            raise ValueError("Expected `predictions.deltas` to be encoded boxes, but got None.")
        rows = self.deltas[image_idx, pred_idx]
        return rows if rows.ndim == 2 else rows[torch.arange(len(rows), device=rows.device), labels]

    def priors_of(self, image_idx: Tensor, pred_idx: Tensor) -> Tensor:
        """Return the ``(P, 4)`` priors of single hypotheses."""
        assert self.priors is not None
        shared = self.priors.ndim == 2
        return self.priors[pred_idx] if shared else self.priors[image_idx, pred_idx]

    @property
    def shared_priors(self) -> Tensor:
        """The ``(N, 4)`` priors of all images.

        Raises:
            ValueError: There are none, or each image has its own.
        """
        if self.priors is None or self.priors.ndim != 2:
            found = "None" if self.priors is None else "proposals of each image"
            raise ValueError(
                f"Expected `predictions.priors` to be shared by all images, but got {found}."
            )
        return self.priors


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The result of an assigner.

    Attributes:
        gt_idx: ``(B, N)`` int64: ground truth within its image, ``BACKGROUND`` or ``IGNORED``.
        sampled: ``(B, N)`` bool, the hypotheses that were drawn for the losses; None for all.
    """

    gt_idx: Tensor
    sampled: Tensor | None = None

    @property
    def positive(self) -> Tensor:
        """``(B, N)`` bool."""
        return self.gt_idx >= 0

    @property
    def num_positives(self) -> Tensor:
        """``(B,)`` number of positives in each image."""
        return self.positive.sum(1)

    def drawn(self) -> Match:
        """Return the match that losses see: what was not drawn is ignored."""
        if self.sampled is None:
            return self
        return Match(gt_idx=self.gt_idx.masked_fill(~self.sampled, IGNORED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Positives:
    """Hypotheses matched to a ground truth: the only thing a loss callback sees.

    Ordered by image, then by prediction index.

    Attributes:
        scores: ``(P,)`` score of the ground truth's class; the path to the classifier.
        pred_boxes: ``(P, 4)`` predicted boxes, differentiable.
        gt_boxes: ``(P, 4)`` boxes of the matched ground truths.
        labels: ``(P,)`` their classes.
        image_idx: ``(P,)`` image within the batch.
        pred_idx: ``(P,)`` hypothesis within the image.
        level_idx: ``(P,)`` FPN level.
        gt_idx: ``(P,)`` ground truth within the image.
    """

    scores: Tensor
    pred_boxes: Tensor
    gt_boxes: Tensor
    labels: Tensor
    image_idx: Tensor
    pred_idx: Tensor
    level_idx: Tensor
    gt_idx: Tensor

    def __len__(self) -> int:
        return self.scores.shape[0]

    @classmethod
    def gather(
        cls, predictions: Predictions, targets: Sequence[Targets], match: Match
    ) -> Positives:
        """Collect the positives of a batch from one stage's predictions."""
        targets = predictions.wanted(targets)
        image_idx, pred_idx = match.positive.nonzero(as_tuple=True)
        gt_idx = match.gt_idx[image_idx, pred_idx]
        counts = torch.tensor([len(t.labels) for t in targets], device=gt_idx.device)
        flat = gt_idx + (counts.cumsum(0) - counts)[image_idx]
        labels = torch.cat([t.labels for t in targets])[flat]
        return cls(
            scores=predictions.scores_of(image_idx, pred_idx, labels),
            pred_boxes=predictions.boxes_of(image_idx, pred_idx, labels),
            gt_boxes=torch.cat([t.boxes for t in targets])[flat],
            labels=labels,
            image_idx=image_idx,
            pred_idx=pred_idx,
            level_idx=predictions.level_idx[pred_idx],
            gt_idx=gt_idx,
        )

    def ious(self) -> Tensor:
        """Return the ``(P,)`` IoU of each positive with its ground truth, with gradient."""
        return paired_iou(self.pred_boxes, self.gt_boxes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOverride:
    """Single class scores replaced before threshold and quality factor (image-level AP bounds).

    Attributes:
        image_idx: ``(K,)`` image within the batch.
        pred_idx: ``(K,)`` hypothesis within the image.
        label: ``(K,)`` class whose score is replaced.
        score: ``(K,)`` new class score.
    """

    image_idx: Tensor
    pred_idx: Tensor
    label: Tensor
    score: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """Final detections of one image, by descending score.

    Attributes:
        boxes: ``(D, 4)``.
        scores: ``(D,)`` ranking scores.
        labels: ``(D,)`` classes in ``[0, C)``.
        pred_idx: ``(D,)`` hypothesis that each detection comes from.
        masks: COCO run-length encodings at the size of the image file, one a detection, or None.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    pred_idx: Tensor
    masks: list[dict[str, Any]] | None = field(default=None)

    def __len__(self) -> int:
        return self.scores.shape[0]

    def to_original(self, targets: Targets) -> Detections:
        """Return the detections with boxes in the pixels of the image file."""
        return replace(
            self, boxes=scale_boxes(self.boxes, targets.valid_size, targets.original_size)
        )


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What one batch gives, the same in training, validation and test.

    Attributes:
        loss: Total, a scalar: every term plus ``weight`` times every loss callback.
        terms: Weighted scalar terms by name; with several stages prefixed by ``stage<i>/``.
        counts: What the loss callbacks counted, by name.
        predictions: One a stage.
        positives: One a stage.
        detections: One an image in input pixels; empty in training.
    """

    loss: Tensor
    terms: dict[str, Tensor]
    counts: dict[str, Tensor]
    predictions: list[Predictions]
    positives: list[Positives]
    detections: list[Detections]
