"""Ground truth and detections with their one matching, shared by all measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np

from corrlight.coco.ground_truth import GroundTruth
from corrlight.coco.results import PositiveTable, Results
from corrlight.coco.run_lengths import covered_pixels
from corrlight.coco.types import Array, ImageRecord, Rle
from corrlight.metrics.matching import (
    AREA_RANGES,
    MAX_DETECTIONS,
    Candidates,
    Matches,
    Pairs,
    box_pairs,
    candidates,
    mask_pairs,
    match,
)
from corrlight.metrics.ranking.class_cuts import ClassCuts, class_cuts
from corrlight.metrics.ranking.ordering import descending_ranks, order_by

__all__ = ["Evaluation"]


class Evaluation:
    """One evaluation: what was to be found, what was found, and how they match.

    The matching is computed when first asked for and kept, so AP, beta_cls, oLRP and the bounds
    all read the same one. Its detections are *sorted*: by class, image and descending score, equal
    scores in the order of the results.

    Attributes:
        ground_truth: Objects of the evaluated images.
        results: Final detections in their given order.
        positives: The training assigner's positives, or None for a results file.
        masks: Whether masks are matched instead of boxes.
        order: ``(D,)`` rows of ``results`` in sorted order.
        cell: ``(D,)`` ascending number of the (class, image) of every sorted detection.
        rank: ``(D,)`` place of every sorted detection within its image and class, from 0.
        counted: ``(K,)`` sorted rows with rank below the limit: the others are not evaluated.
        max_detections: The limit: detections of an image and class that are evaluated, by
            descending score.
    """

    def __init__(
        self,
        ground_truth: GroundTruth,
        results: Results,
        positives: PositiveTable | None = None,
        masks: bool = False,
        max_detections: int = MAX_DETECTIONS,
    ) -> None:
        if masks and (ground_truth.masks is None or results.masks is None):
            raise ValueError("Expected ground truth and results with masks, but got none.")
        self.masks = masks
        self.max_detections = max_detections
        self.ground_truth = ground_truth
        self.results = results
        self.positives = positives
        self._matches: dict[str, Matches] = {}
        self._cuts: dict[str, ClassCuts] = {}
        cell = self._cell(results.labels, results.image_idx)
        self._score_ranks = descending_ranks(results.scores)
        self.order: Array = order_by(cell, self._score_ranks)
        self.cell = cell[self.order]
        starts = np.flatnonzero(np.diff(self.cell, prepend=-1))
        lengths = np.diff(starts, append=len(self.cell))
        self.rank: Array = np.arange(len(self.cell)) - np.repeat(starts, lengths)
        self.counted: Array = np.flatnonzero(self.rank < max_detections)

    @classmethod
    def from_records(
        cls, ground_truth: GroundTruth, records: Sequence[ImageRecord], masks: bool = False
    ) -> Self:
        """Evaluate the images of ``records``, and no others, whatever their order.

        Args:
            ground_truth: Objects of these images, or of more.
            records: One record an image.
            masks: Match masks instead of boxes.
        """
        records = sorted(records, key=lambda r: r.image_id)
        ground_truth = ground_truth.restricted(r.image_id for r in records)
        return cls(
            ground_truth,
            Results.from_records(records, ground_truth),
            PositiveTable.from_records(records, ground_truth),
            masks,
        )

    @classmethod
    def from_coco(
        cls,
        annotations: Path | str | Mapping[str, Any],
        results: Path | str | Sequence[Mapping[str, Any]],
        category_ids: Sequence[int] | None = None,
        masks: bool = False,
    ) -> Self:
        """Evaluate COCO results, both given as a file or as its content.

        All images of the annotations are evaluated.

        Args:
            annotations: COCO annotations.
            results: COCO results.
            category_ids: Category id of every label. Default: all, ascending.
            masks: Match masks instead of boxes.
        """
        if isinstance(annotations, Path | str):
            ground_truth = GroundTruth.load(annotations, category_ids, masks)
        else:
            ground_truth = GroundTruth.from_coco(annotations, category_ids, masks)
        if isinstance(results, Path | str):
            found = Results.load(results, ground_truth, masks)
        else:
            found = Results.from_coco(results, ground_truth, masks)
        return cls(ground_truth, found, masks=masks)

    def with_limit(self, max_detections: int) -> Evaluation:
        """Return this evaluation with more (or fewer) detections of an image and class.

        IoUs are of all detections and are not computed again.
        """
        other = Evaluation(
            self.ground_truth, self.results, self.positives, self.masks, max_detections
        )
        other.pairs, other.areas = self.pairs, self.areas
        return other

    def _cell(self, labels: Array, image_idx: Array) -> Array:
        return labels * self.ground_truth.num_images + image_idx

    @cached_property
    def pairs(self) -> Pairs:
        """IoUs of all sorted detections with the objects of their image and class."""
        gt = self.ground_truth
        gt_cell = self._cell(gt.labels, gt.image_idx)
        if self.masks:
            assert gt.masks is not None  # checked at construction
            return mask_pairs(self.cell, self._sorted_masks, gt_cell, gt.masks, gt.crowd)
        boxes = self.results.boxes
        return box_pairs(self.cell, boxes, gt_cell, gt.boxes, gt.crowd, self.order)

    @cached_property
    def _sorted_masks(self) -> list[Rle]:
        masks = self.results.masks
        assert masks is not None  # checked at construction
        return [masks[i] for i in self.order]

    @cached_property
    def areas(self) -> Array:
        """``(D,)`` area of the sorted detections: what the results say, else their own.

        Of files it is as in pycocotools: width times height for masks too if the first result has a
        box, pixels of the mask for boxes too if it has none.
        """
        if self.results.areas is not None:
            return self.results.areas[self.order]
        if self.masks:
            return covered_pixels(self._sorted_masks)
        boxes = self.results.boxes
        areas: Array = (boxes[:, 2] * boxes[:, 3])[self.order]
        return areas

    @cached_property
    def labels(self) -> Array:
        """``(K,)`` class of every counted detection, ascending."""
        return self.results.labels[self.order[self.counted]]

    @cached_property
    def scores(self) -> Array:
        """``(K,)`` score of every counted detection."""
        return self.results.scores[self.order[self.counted]]

    @cached_property
    def class_slices(self) -> list[slice]:
        """For every class, where its counted detections are."""
        edges = np.searchsorted(self.labels, np.arange(self.ground_truth.num_classes + 1))
        return [slice(a, b) for a, b in pairwise(edges.tolist())]

    @cached_property
    def class_order(self) -> Array:
        """``(K,)`` counted detections by class and descending score (stable).

        Those of class k stay within ``class_slices[k]``. Equal scores are in the order of image
        ids, then of the results: the order in which COCO builds a precision-recall curve.
        """
        return order_by(self.labels, self._score_ranks[self.order[self.counted]])

    def matches(self, area: str = "all") -> Matches:
        """Return the matching of the counted detections, computed once for each area range.

        Args:
            area: A key of ``AREA_RANGES``.
        """
        if area not in self._matches:
            self._matches[area] = self._match(area)
        return self._matches[area]

    def cuts(self, area: str = "all") -> ClassCuts:
        """Return the places of the ranking that decide measures; see :class:`ClassCuts`.

        Args:
            area: A key of ``AREA_RANGES``.
        """
        if area not in self._cuts:
            self._cuts[area] = class_cuts(self.matches(area), self.class_order, self.class_slices)
        return self._cuts[area]

    @cached_property
    def _candidates(self) -> Candidates:
        new_row = np.cumsum(self.rank < self.max_detections) - 1
        keep = self.rank[self.pairs.detection] < self.max_detections
        pairs = Pairs(
            detection=new_row[self.pairs.detection[keep]],
            gt=self.pairs.gt[keep],
            iou=self.pairs.iou[keep],
            best_iou=self.pairs.best_iou[self.counted],
        )
        return candidates(pairs, self.cell[self.counted], self.ground_truth.crowd)

    def _match(self, area: str) -> Matches:
        low, high = AREA_RANGES[area]
        gt = self.ground_truth
        gt_ignored = gt.crowd | (gt.areas < low) | (gt.areas > high)
        areas = self.areas[self.counted]
        outside = (areas < low) | (areas > high)
        found = self._candidates
        rows, ious = match(found, gt_ignored, gt.crowd)
        # Without any object there is nothing to index; no detection is matched then.
        ignored = gt_ignored[rows] if len(gt_ignored) else rows >= 0
        return Matches(
            rows=found.rows,
            column_gt=rows,
            column_iou=ious,
            column_ignored=np.where(rows >= 0, ignored, outside[found.rows]),
            outside=outside,
            num_gt=np.bincount(gt.labels[~gt_ignored], minlength=gt.num_classes),
        )
