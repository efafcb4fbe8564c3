"""Threshold, top-k per level and non-maximum suppression per class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from corrlight.arguments import check_at_least, check_choice, check_share
from corrlight.boxes import clip_boxes, paired_iou
from corrlight.postprocess.class_nms import class_nms
from corrlight.structures import Detections, Predictions, ScoreOverride

__all__ = ["NMSPostprocessor"]

# Candidates that overlap a detection less have no vote.
_MIN_VOTING_IOU = 0.01


class NMSPostprocessor:
    """Dense hypotheses to detections.

    In each level the (hypothesis, class) pairs above the threshold are cut to the best
    ``topk_candidates``. Boxes are clipped to the image, suppressed per class, and the best
    ``max_detections`` remain. With score voting each of them becomes the mean of all candidates of
    its class, weighted by score times exp(-(1 - IoU)^2 / voting_sigma) (Kim and Lee, 2020,
    Section 3.3).

    Deviation: the published score voting turns boxes without area into NaN; here they stay.

    Args:
        score_thresh: Pairs must score more than this.
        topk_candidates: Pairs kept of each level.
        nms_thresh: IoU above which the lower-scored box of the same class is dropped.
        max_detections: Detections of an image at most.
        quality: How the quality branch enters the ranking score: "product" (class score times
            quality), "sqrt" (square root of the product), or None. Predictions without a quality
            branch are ranked by class score.
        select_on: What threshold and top-k look at: "class_scores" (ATSS: quality comes in
            afterwards) or "ranking_scores" (PAA).
        preselect: What whole hypotheses are cut to ``topk_candidates`` a level by, instead of
            pairs: the best of their "class_scores" or its "product" with the quality (PAA), which
            need not be what they are ranked by. None cuts pairs.
        voting_sigma: Width of the score voting, or None for no voting.
        border: Pixels by which clipped boxes stay off the right and lower edge of the image.
        clip: Whether boxes are cut to the image; TOOD's are not, as published.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        score_thresh: float = 0.05,
        topk_candidates: int = 1000,
        nms_thresh: float = 0.5,
        max_detections: int = 100,
        quality: Literal["product", "sqrt"] | None = None,
        select_on: Literal["class_scores", "ranking_scores"] = "class_scores",
        preselect: Literal["class_scores", "product"] | None = None,
        voting_sigma: float | None = None,
        border: int = 0,
        clip: bool = True,
    ) -> None:
        check_share(score_thresh=score_thresh, nms_thresh=nms_thresh)
        check_at_least(1, topk_candidates=topk_candidates, max_detections=max_detections)
        check_choice("quality", quality, ("product", "sqrt", None))
        check_choice("select_on", select_on, ("class_scores", "ranking_scores"))
        check_choice("preselect", preselect, ("class_scores", "product", None))
        if voting_sigma is not None and not 0 < voting_sigma < float("inf"):
            raise ValueError(
                f"Expected `voting_sigma` to be None or finite and > 0, but got {voting_sigma}."
            )
        if border < 0:
            raise ValueError(f"Expected `border` to be at least 0, but got {border}.")
        self.score_thresh, self.topk_candidates = score_thresh, topk_candidates
        self.nms_thresh, self.max_detections = nms_thresh, max_detections
        self.quality, self.select_on = quality, select_on
        self.preselect, self.voting_sigma, self.border = preselect, voting_sigma, border
        self.clip = clip

    @torch.no_grad()
    def __call__(
        self,
        predictions: Predictions,
        image_sizes: Sequence[tuple[int, int]],
        score_override: ScoreOverride | None = None,
    ) -> list[Detections]:
        """Return the detections of every image, by descending score, in input pixels.

        Hypotheses beyond an image's own padded size take part, as published.

        Args:
            predictions: The last stage.
            image_sizes: Height and width of each image's content.
            score_override: Class scores to be replaced before threshold and quality factor.
        """
        found = []
        for own in self._candidates(predictions, image_sizes, score_override):
            keep = self._suppress(own.boxes, own.scores, own.labels)[: self.max_detections]
            found.append(
                Detections(
                    boxes=self.voted_boxes(own, keep),
                    scores=own.scores[keep],
                    labels=own.labels[keep],
                    pred_idx=own.pred_idx[keep],
                )
            )
        return found

    @torch.no_grad()
    def candidates(
        self, predictions: Predictions, image_sizes: Sequence[tuple[int, int]]
    ) -> list[Detections]:
        """Return what is suppressed and cut to the detections of every image, in no order.

        Args:
            predictions: The last stage.
            image_sizes: Height and width of each image's content.
        """
        return list(self._candidates(predictions, image_sizes, None))

    def _candidates(
        self,
        predictions: Predictions,
        image_sizes: Sequence[tuple[int, int]],
        override: ScoreOverride | None,
    ) -> Iterator[Detections]:
        level_ends = predictions.level_idx.bincount().cumsum(0).tolist()
        for b, size in enumerate(image_sizes):
            yield self._one_image(predictions, b, size, level_ends, override)

    def _one_image(
        self,
        predictions: Predictions,
        image: int,
        size: tuple[int, int],
        level_ends: Sequence[int],
        override: ScoreOverride | None,
    ) -> Detections:
        num_classes = predictions.num_classes
        class_scores = self._class_scores(predictions, image, override)
        if class_scores is None:
            # Only survivors are activated: the scores of all pairs would be a large copy.
            values, threshold = predictions.logits[image].flatten(), _logit(self.score_thresh)
        else:
            values = self._selection_scores(class_scores, predictions, image).flatten()
            threshold = self.score_thresh
        pairs = (values > threshold).nonzero().squeeze(1)  # ascending, hence sorted by level
        if self.preselect is None:
            pairs = self._topk_per_level(values, pairs, [end * num_classes for end in level_ends])
        else:
            best = self._best_scores(class_scores, predictions, image)  # (N,)
            every = torch.arange(len(best), device=best.device)
            kept = torch.zeros_like(best, dtype=torch.bool)
            kept[self._topk_per_level(best, every, level_ends)] = True
            pairs = pairs[kept[pairs // num_classes]]
        pred_idx, labels = pairs // num_classes, pairs % num_classes
        scores = values[pairs].float()
        if class_scores is None:
            scores = scores.sigmoid()
        if self.select_on == "class_scores":
            scores = self._ranking(scores, predictions, image, pred_idx)

        height, width = size
        limits = (height - self.border, width - self.border)
        boxes = predictions.boxes[image, pred_idx]
        if self.clip:
            boxes = clip_boxes(boxes, limits)
        return Detections(boxes=boxes, scores=scores, labels=labels, pred_idx=pred_idx)

    def _class_scores(
        self, predictions: Predictions, image: int, override: ScoreOverride | None
    ) -> Tensor | None:
        """Return ``(N, C)`` class scores, or None if logits order the pairs as well."""
        by_logit = predictions.activation == "sigmoid" and self.select_on == "class_scores"
        if by_logit and override is None:
            return None
        logits = predictions.logits[image].float()
        if predictions.activation == "sigmoid":
            scores = logits.sigmoid()
        else:
            scores = logits.softmax(-1)[:, :-1].clone()
        if override is not None:
            mine = override.image_idx == image
            where = (override.pred_idx[mine], override.label[mine])
            scores[where] = override.score[mine].to(scores.dtype)
        return scores

    def _selection_scores(
        self, class_scores: Tensor, predictions: Predictions, image: int
    ) -> Tensor:
        """Return the ``(N, C)`` scores that threshold and top-k look at."""
        if self.select_on == "class_scores":
            return class_scores
        every = torch.arange(len(class_scores), device=class_scores.device)
        return self._ranking(class_scores, predictions, image, every)

    def _best_scores(
        self, class_scores: Tensor | None, predictions: Predictions, image: int
    ) -> Tensor:
        """Return the ``(N,)`` scores that hypotheses are preselected by."""
        if class_scores is None:
            best = predictions.logits[image].float().amax(1).sigmoid()
        else:
            best = class_scores.amax(1)
        if self.preselect == "class_scores" or predictions.quality is None:
            return best
        return best * predictions.quality[image].float().sigmoid()

    def _suppress(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the indices of the ``(K, ...)`` candidates that stay, by descending score."""
        return class_nms(boxes, scores, labels, self.nms_thresh)

    def voted_boxes(self, candidates: Detections, keep: Tensor) -> Tensor:
        """Return the ``(D, 4)`` boxes of the candidates ``keep`` ``(D,)`` after score voting."""
        boxes, scores, labels = candidates.boxes, candidates.scores, candidates.labels
        if self.voting_sigma is None:
            return boxes[keep]
        detections, voters = _same_label(labels[keep], labels)
        own = boxes[voters]
        ious = paired_iou(boxes[keep][detections], own)
        weights = scores[voters] * torch.exp(-((1 - ious) ** 2) / self.voting_sigma)
        weights *= ious > _MIN_VOTING_IOU
        total = weights.new_zeros(len(keep), 1).index_add_(0, detections, weights[:, None])
        voted = boxes.new_zeros(len(keep), 4).index_add_(0, detections, weights[:, None] * own)
        return torch.where(total > 0, voted / total, boxes[keep])

    def ranking_scores(self, class_scores: Tensor, quality: Tensor) -> Tensor:
        """Return class scores ``(K, ...)`` combined with the quality logits ``(K,)``."""
        if self.quality is None:
            return class_scores
        factor = quality.float().sigmoid()
        product = class_scores * factor.reshape(-1, *[1] * (class_scores.ndim - 1))
        return product.sqrt() if self.quality == "sqrt" else product

    def _ranking(
        self, scores: Tensor, predictions: Predictions, image: int, pred_idx: Tensor
    ) -> Tensor:
        """Return the ranking scores ``(K, ...)`` of hypotheses ``(K,)`` of one image."""
        if predictions.quality is None:
            return scores
        return self.ranking_scores(scores, predictions.quality[image, pred_idx])

    def _topk_per_level(self, values: Tensor, pairs: Tensor, level_ends: Sequence[int]) -> Tensor:
        if len(pairs) <= self.topk_candidates:
            return pairs
        ends = torch.searchsorted(pairs, pairs.new_tensor(level_ends)).tolist()
        kept = []
        for start, end in zip([0, *ends], ends, strict=False):
            level = pairs[start:end]
            if len(level) > self.topk_candidates:
                level = level[values[level].topk(self.topk_candidates).indices]
            kept.append(level)
        return torch.cat(kept)


def _same_label(labels: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices ``(M,)`` of all pairs of ``(D,)`` and ``(K,)`` labels that are equal."""
    ordered, order = others.sort(stable=True)
    start = torch.searchsorted(ordered, labels)
    count = torch.searchsorted(ordered, labels, right=True) - start
    first = torch.arange(len(labels), device=labels.device).repeat_interleave(count)
    # Of each pair, its place among those of the same `first`.
    place = torch.arange(len(first), device=labels.device) - (count.cumsum(0) - count)[first]
    return first, order[start[first] + place]


def _logit(score: float) -> float:
    """Return the logit of a score; infinite at 0 and 1."""
    return float(torch.logit(torch.tensor(score, dtype=torch.float64)))
