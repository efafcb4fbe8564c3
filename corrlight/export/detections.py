"""Post-processing in shapes that do not depend on the pictures, for files that other programs run.

Every module equals the post-processor that it is made of, up to the order of equal scores: what it
leaves out is marked instead of removed, and the best ``max_detections`` of an image are as many
rows in any case. Rows without a detection have score 0 and label -1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import nms

from corrlight.postprocess.fast_nms import FastNMSPostprocessor
from corrlight.postprocess.nms import NMSPostprocessor
from corrlight.postprocess.topk import TopKPostprocessor
from corrlight.structures import Predictions

__all__ = ["DenseDetections", "FastDetections", "SetDetections", "fixed_postprocessor"]

# Boxes, scores, labels, and the hypothesis of each row.
Rows = tuple[Tensor, Tensor, Tensor, Tensor]
# Marks a pair that is left out: scores are at least 0.
_OUT = -1.0
_MIN_VOTING_IOU = 0.01
# Of whole hypotheses with all of their classes.
_MOST_PAIRS = 10_000


def fixed_postprocessor(postprocessor: object) -> nn.Module:
    """Return the module that does what ``postprocessor`` does.

    Raises:
        ValueError: There is none for it.
    """
    if type(postprocessor) is FastNMSPostprocessor:
        return FastDetections(postprocessor)
    if type(postprocessor) is NMSPostprocessor:
        return DenseDetections(postprocessor)
    if type(postprocessor) is TopKPostprocessor:
        return SetDetections(postprocessor)
    raise ValueError(
        "Expected a post-processor of corrlight, but the run has a "
        f"{type(postprocessor).__name__}: --raw exports what it is given."
    )


class DenseDetections(nn.Module):
    """:class:`NMSPostprocessor` by the best pairs of every level and NMS over all at once.

    Boxes of different images and classes are moved apart, so that one plain NMS serves them all. Of
    a detector that cuts whole hypotheses (PAA) the best 10,000 pairs take part, and at least as
    many as hypotheses.
    """

    def __init__(self, of: NMSPostprocessor) -> None:
        super().__init__()
        self.of = of

    def forward(self, predictions: Predictions, level_sizes: Sequence[int], size: Tensor) -> Rows:
        """Return ``(B, K, 4)`` boxes, ``(B, K)`` scores, labels and hypotheses.

        Args:
            predictions: The last stage.
            level_sizes: Hypotheses of every level.
            size: ``(2,)`` height and width of the images.
        """
        candidates = self._candidates(predictions, level_sizes, size)
        boxes, scores, labels, pred_idx = candidates
        left = self._suppressed(boxes, scores, labels, size, predictions.num_classes)
        top, rows = left.topk(min(self.of.max_detections, left.shape[1]))
        best, best_labels = _gather(boxes, rows), labels.gather(1, rows)
        if self.of.voting_sigma is not None:
            best = self._voted(best, best_labels, candidates, self.of.voting_sigma)
        return _marked(best, top, best_labels, pred_idx.gather(1, rows))

    def _suppressed(
        self, boxes: Tensor, scores: Tensor, labels: Tensor, size: Tensor, num_classes: int
    ) -> Tensor:
        """Return the scores with those that NMS drops marked."""
        batch, count = scores.shape
        # Images and classes side by side: clipped boxes lie within their image.
        image = torch.arange(batch, device=scores.device)[:, None]
        place = (image * num_classes + labels).to(boxes.dtype)
        apart = boxes + (place * (size.amax(0) + 1).to(boxes.dtype))[..., None]
        # Those that are left out lie all in one place, where the first drops the others at once.
        apart = torch.where((scores >= 0)[..., None], apart, apart.new_tensor([-9.0, -9, -8, -8]))
        kept = nms(apart.flatten(0, 1), scores.flatten(), self.of.nms_thresh)
        mask = torch.zeros_like(scores).flatten().index_fill(0, kept, 1.0)
        return torch.where(mask.view(batch, count) > 0, scores, _OUT)

    @staticmethod
    def _voted(best: Tensor, best_labels: Tensor, candidates: Rows, sigma: float) -> Tensor:
        """Return the ``(B, K, 4)`` boxes after score voting."""
        boxes, scores, labels, _ = candidates
        ious = _pairwise_iou(best, boxes)  # (B, K, M)
        voters = (best_labels[:, :, None] == labels[:, None]) & (ious > _MIN_VOTING_IOU)
        weights = scores.clamp(min=0)[:, None] * torch.exp(-((1 - ious) ** 2) / sigma) * voters
        total = weights.sum(2, keepdim=True)
        return torch.where(total > 0, weights @ boxes / total, best)

    def _candidates(
        self, predictions: Predictions, level_sizes: Sequence[int], size: Tensor
    ) -> Rows:
        """Return clipped boxes ``(B, M, 4)``, ranking scores, labels, hypotheses ``(B, M)``.

        Those that are no candidates score -1.
        """
        of, num_classes = self.of, predictions.num_classes
        class_scores = _class_scores(predictions)  # (B, N, C)
        quality = None
        if predictions.quality is not None:
            quality = predictions.quality.float().sigmoid()  # (B, N)
        ranking = self._ranking(class_scores, quality)
        selection = class_scores if of.select_on == "class_scores" else ranking
        above = selection > of.score_thresh
        ranking = torch.where(above, ranking, _OUT)
        if of.preselect is None:
            marked = torch.where(above, selection, _OUT).flatten(1)  # (B, N * C)
            ends = [n * num_classes for n in level_sizes]
            pairs = _best_per_level(marked, ends, of.topk_candidates)
            scores = ranking.flatten(1).gather(1, pairs)
        else:
            best = class_scores.amax(2)
            if of.preselect == "product" and quality is not None:
                best = best * quality
            rows = _best_per_level(best, level_sizes, of.topk_candidates)  # (B, M)
            own = ranking.gather(1, rows[..., None].expand(-1, -1, num_classes))
            own = own.flatten(1)
            scores, flat = own.topk(min(own.shape[1], max(rows.shape[1], _MOST_PAIRS)))
            pairs = rows.gather(1, flat // num_classes) * num_classes + flat % num_classes
        pred_idx, labels = pairs // num_classes, pairs % num_classes
        boxes = _clipped(_gather(predictions.boxes, pred_idx), size, of.border)
        return boxes, scores, labels, pred_idx

    def _ranking(self, class_scores: Tensor, quality: Tensor | None) -> Tensor:
        if quality is None or self.of.quality is None:
            return class_scores
        product = class_scores * quality[..., None]
        return product.sqrt() if self.of.quality == "sqrt" else product


class FastDetections(DenseDetections):
    """:class:`FastNMSPostprocessor` by a table of the best pairs of every class."""

    of: FastNMSPostprocessor

    def forward(self, predictions: Predictions, level_sizes: Sequence[int], size: Tensor) -> Rows:
        """Return what :meth:`DenseDetections.forward` does."""
        of, scores = self.of, _class_scores(predictions)  # (B, N, C)
        rows = _best_per_level(scores.amax(2), level_sizes, of.topk_candidates)  # (B, M)
        own = scores.gather(1, rows[..., None].expand(-1, -1, predictions.num_classes))
        own = torch.where(own > of.score_thresh, own, _OUT).mT  # (B, C, M)
        top, places = own.topk(min(of.topk_per_class, own.shape[2]))  # (B, C, k)
        boxes = _clipped(_gather(predictions.boxes, rows), size, of.border)
        table = _gather(boxes, places.flatten(1)).unflatten(1, places.shape[1:])  # (B, C, k, 4)
        worst = _pairwise_iou(table, table).triu(1).amax(2)  # with a better one of the class
        left = torch.where(worst <= of.nms_thresh, top, _OUT).flatten(1)
        best, flat = left.topk(min(of.max_detections, left.shape[1]))
        return _marked(
            _gather(table.flatten(1, 2), flat),
            best,
            flat // top.shape[2],
            rows.gather(1, places.flatten(1).gather(1, flat)),
        )


class SetDetections(nn.Module):
    """:class:`TopKPostprocessor`, which has no other shapes anyway."""

    def __init__(self, of: TopKPostprocessor) -> None:
        super().__init__()
        self.of = of

    def forward(self, predictions: Predictions, level_sizes: Sequence[int], size: Tensor) -> Rows:
        """Return what :meth:`DenseDetections.forward` does."""
        scores, num_classes = _class_scores(predictions), predictions.num_classes
        if self.of.select == "pairs":
            flat = scores.flatten(1)
            top, pairs = flat.topk(min(self.of.max_detections, flat.shape[1]))
            pred_idx, labels = pairs // num_classes, pairs % num_classes
        else:
            best, best_class = scores.max(-1)
            top, pred_idx = best.topk(min(self.of.max_detections, best.shape[1]))
            labels = best_class.gather(1, pred_idx)
        boxes = _gather(predictions.boxes, pred_idx)
        return (_clipped(boxes, size) if self.of.clip_boxes else boxes), top, labels, pred_idx


def _marked(boxes: Tensor, scores: Tensor, labels: Tensor, pred_idx: Tensor) -> Rows:
    """Return the rows with those that are no detections at score 0 and label -1."""
    found = scores >= 0
    return (
        torch.where(found[..., None], boxes, 0.0),
        torch.where(found, scores, 0.0),
        torch.where(found, labels, -1),
        pred_idx,
    )


def _class_scores(predictions: Predictions) -> Tensor:
    logits = predictions.logits.float()
    if predictions.activation == "sigmoid":
        return logits.sigmoid()
    return logits.softmax(-1)[..., :-1]


def _best_per_level(values: Tensor, level_sizes: Sequence[int], most: int) -> Tensor:
    """Return the ``(B, M)`` places of the best ``most`` of every level of ``(B, N)`` values."""
    places, start = [], 0
    for count in level_sizes:
        level = values[:, start : start + count]
        places.append(level.topk(min(most, count)).indices + start)
        start = start + count
    return torch.cat(places, 1)


def _gather(boxes: Tensor, rows: Tensor) -> Tensor:
    return boxes.gather(1, rows[..., None].expand(-1, -1, 4))


def _clipped(boxes: Tensor, size: Tensor, border: int = 0) -> Tensor:
    height, width = (size - border).to(boxes.dtype).unbind()
    limit = torch.stack([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limit)


def _pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the ``(..., M, K)`` IoUs of ``(..., M, 4)`` and ``(..., K, 4)`` boxes."""
    low = torch.maximum(first[..., :, None, :2], second[..., None, :, :2])
    high = torch.minimum(first[..., :, None, 2:], second[..., None, :, 2:])
    inner = (high - low).clamp(min=0)
    shared = inner[..., 0] * inner[..., 1]
    areas = ((b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1]) for b in (first, second))
    of_first, of_second = areas
    union = of_first[..., :, None] + of_second[..., None, :] - shared
    return torch.where(union > 0, shared / union, 0.0)
