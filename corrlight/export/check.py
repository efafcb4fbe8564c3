"""A file against the detector that it was made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from corrlight.export.files import plain_ops
from corrlight.export.network import ExportNetwork
from corrlight.export.ties import near_ties
from corrlight.postprocess.nms import NMSPostprocessor
from corrlight.predict.model import Model
from corrlight.structures import Batch, Detections, Predictions, Targets

__all__ = [
    "Agreement",
    "Tolerances",
    "compare_file",
    "compare_raw",
    "whole_images",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """What a file and its detector may differ by.

    Attributes:
        boxes: Pixels of a corner.
        scores: Shares.
        masks: Share of a mask's pixels that may be on the other side of the threshold.
    """

    boxes: float = 1e-3
    scores: float = 1e-5
    masks: float = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far a file and its detector differ.

    Attributes:
        pictures: Pictures compared.
        rows: Detections (raw: hypotheses) compared.
        boxes: Largest difference of a corner in pixels.
        scores: Largest difference of a score.
        masks: Largest share of a mask's pixels that differ.
        unmatched: Detections that only one of both has.
        ties: Detections that only one of both has because scores are nearly equal
            (:func:`corrlight.export.ties.near_ties`).
        tolerances: What was taken as equal.
    """

    pictures: int = 0
    rows: int = 0
    boxes: float = 0.0
    scores: float = 0.0
    masks: float = 0.0
    unmatched: int = 0
    ties: int = 0
    tolerances: Tolerances = Tolerances()

    @property
    def holds(self) -> bool:
        """Whether all differences are within the tolerances."""
        return (
            self.boxes <= self.tolerances.boxes
            and self.scores <= self.tolerances.scores
            and self.masks <= self.tolerances.masks
            and not self.unmatched
        )

    def __str__(self) -> str:
        kind = f"{self.pictures} pictures, {self.rows:,} rows"
        masks = f", masks {self.masks:.1e} of their pixels" if self.masks else ""
        only = f", {self.unmatched} detections only on one side" if self.unmatched else ""
        ties = f", {self.ties} on one side by equal scores" if self.ties else ""
        return f"{kind}: boxes {self.boxes:.1e} px, scores {self.scores:.1e}{masks}{only}{ties}"

    def joined(self, other: Agreement) -> Agreement:
        """Return the larger differences of both, over all pictures."""
        return Agreement(
            pictures=self.pictures + other.pictures,
            rows=self.rows + other.rows,
            boxes=max(self.boxes, other.boxes),
            scores=max(self.scores, other.scores),
            masks=max(self.masks, other.masks),
            unmatched=self.unmatched + other.unmatched,
            ties=self.ties + other.ties,
            tolerances=self.tolerances,
        )


def compare_file(
    run: Callable[[Tensor], Sequence[Tensor]],
    network: ExportNetwork,
    model: Model,
    batches: Sequence[Tensor],
    tolerances: Tolerances = Tolerances(),
) -> Agreement:
    """Return how far a file differs from its detector with the run's own post-processor.

    The detector runs on PyTorch's own operators: the fast ones differ by more than a file may.

    Args:
        run: The file.
        network: What it was written from.
        model: The run.
        batches: ``(B, 3, H, W)`` pictures each, 0 to 255.
        tolerances: What is taken as equal.
    """
    total = Agreement(tolerances=tolerances)
    for images in batches:
        outputs = [output.detach() for output in run(images)]
        normalized = (images - model.collate.mean) / model.collate.std
        batch = Batch(images=normalized, targets=whole_images(images))
        with plain_ops():
            expected = model.detector(batch)[-1]
            if network.raw:
                total = total.joined(
                    compare_raw(outputs, network.output_names, expected, images.shape)
                )
                continue
            found = model.postprocessor(expected, batch.valid_sizes)
        for k, own in enumerate(found):
            explained = partial(_tied, model.postprocessor, expected, batch, k, tolerances)
            rows = [output[k] for output in outputs]
            total = total.joined(
                _one(*rows, expected=own, explained=explained, tolerances=tolerances)
            )
    return total


def _tied(
    postprocessor: object,
    predictions: Predictions,
    batch: Batch,
    image: int,
    tolerances: Tolerances,
    own: Detections,
    other: Detections,
    only: tuple[Tensor, Tensor],
) -> Tensor:
    """Return which of one side's detections near ties explain; without NMS there are none."""
    if not isinstance(postprocessor, NMSPostprocessor):
        return torch.zeros_like(only[0])
    with plain_ops():
        candidates = postprocessor.candidates(predictions, batch.valid_sizes)[image]
    limits = (tolerances.boxes, tolerances.scores)
    return near_ties(postprocessor, candidates, own, other, only, limits)


def whole_images(images: Tensor) -> tuple[Targets, ...]:
    """Return targets that say of ``(B, 3, H, W)`` images that nothing in them is filling."""
    size = (images.shape[2], images.shape[3])
    target = Targets(
        boxes=images.new_zeros(0, 4),
        labels=torch.zeros(0, dtype=torch.int64),
        valid_size=size,
        padded_size=size,
        original_size=size,
        image_id=0,
    )
    return (target,) * len(images)


def compare_raw(
    outputs: Sequence[Tensor], names: Sequence[str], expected: Predictions, shape: Sequence[int]
) -> Agreement:
    """Return how far raw outputs differ: scores activated, boxes as far as they are in the picture.

    Args:
        outputs: What a network of ``raw=True`` gives.
        names: Its ``output_names``.
        expected: What the detector gives.
        shape: Of the images, ``(B, 3, H, W)``.
    """
    got = dict(zip(names, outputs, strict=True))
    limit = torch.tensor([shape[3], shape[2]] * 2)

    def inside(boxes: Tensor) -> Tensor:
        return torch.minimum(boxes.clamp(min=0), limit)

    def scores(logits: Tensor) -> Tensor:
        return logits.sigmoid() if expected.activation == "sigmoid" else logits.softmax(-1)

    differences = [_largest(scores(got["logits"]), scores(expected.logits))]
    if expected.quality is not None:
        differences.append(_largest(got["quality"].sigmoid(), expected.quality.sigmoid()))
    if expected.mask is not None:
        differences.append(_largest(got["coefficients"], expected.mask.coefficients))
    return Agreement(
        pictures=shape[0],
        rows=expected.boxes.shape[0] * expected.boxes.shape[1],
        boxes=_largest(inside(got["boxes"]), inside(expected.boxes)),
        scores=max(differences),
    )


def _one(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    masks: Tensor | None = None,
    *,
    expected: Detections,
    explained: Callable[..., Tensor] | None = None,
    tolerances: Tolerances = Tolerances(),
) -> Agreement:
    """Compare the detections of a picture as sets: equal scores have no order.

    ``explained`` says of one side's detections, the other's, and which of both are alone, which of
    the first may be.
    """
    room = len(labels)
    rows = (labels >= 0).nonzero().squeeze(1)
    file = Detections(boxes=boxes[rows], scores=scores[rows], labels=labels[rows], pred_idx=rows)
    free = torch.ones(len(file), dtype=torch.bool)
    alone = torch.zeros(len(expected), dtype=torch.bool)
    largest = {"boxes": 0.0, "scores": 0.0, "masks": 0.0}
    for k in range(len(expected)):
        distance = (file.boxes - expected.boxes[k]).abs().amax(1)
        same = free & (file.labels == expected.labels[k])
        same &= (file.scores - expected.scores[k]).abs() <= 10 * tolerances.scores
        distance = torch.where(same, distance, torch.inf)
        if not same.any() or distance.min() > 1:
            alone[k] = True
            continue
        j = int(distance.argmin())
        free[j] = False
        largest["boxes"] = max(largest["boxes"], float(distance[j]))
        difference = float((file.scores[j] - expected.scores[k]).abs())
        largest["scores"] = max(largest["scores"], difference)
        if masks is not None and expected.masks is not None:
            share = _mask_difference(masks[rows[j]], expected.masks[k])
            largest["masks"] = max(largest["masks"], share)
    ties = unmatched = 0
    for own, other, only in ((expected, file, (alone, free)), (file, expected, (free, alone))):
        left = only[0]
        if len(other) == room > 0:
            # Where an equal score is the last that a list has room for, either may be in it.
            left = left & (own.scores > other.scores[-1] + tolerances.scores)
        if left.any() and explained is not None:
            tied = left & explained(own, other, only)
            ties += int(tied.sum())
            left = left & ~tied
        unmatched += int(left.sum())
    return Agreement(
        pictures=1,
        rows=len(expected),
        unmatched=unmatched,
        ties=ties,
        tolerances=tolerances,
        **largest,
    )


def _mask_difference(mask: Tensor, rle: dict[str, object]) -> float:
    from pycocotools import mask as coco_mask

    expected = torch.from_numpy(coco_mask.decode(rle)).bool()
    return float((mask.bool() ^ expected).sum()) / mask.numel()


def _largest(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).abs().max())
