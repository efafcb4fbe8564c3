"""Collects the records of all images and ranks and evaluates them once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch.distributed as dist

from corrlight.coco.ground_truth import GroundTruth
from corrlight.coco.results import check_record
from corrlight.coco.types import ImageRecord
from corrlight.metrics.base import Number
from corrlight.metrics.class_correlation import ClassCorrelation
from corrlight.metrics.coco_evaluate import CocoEvaluate
from corrlight.metrics.errors.metric import ErrorTypes
from corrlight.metrics.errors.view import ErrorView, error_view
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.score_iou_pairs import ScoreIouPairs, score_iou_pairs
from corrlight.metrics.image_correlation import ImageCorrelation
from corrlight.metrics.matching import MAX_DETECTIONS
from corrlight.metrics.measure import measure
from corrlight.metrics.metric import Metric
from corrlight.metrics.olrp import Olrp

__all__ = ["DetectionEvaluator", "EvaluationResult"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """Everything an evaluation gives.

    Attributes:
        metrics: Measures (fractions, None = undefined) and counts by plain name, as in
            ``metrics.json``; the same on every rank.
        per_class: One row a class, in the order of the labels; the same on every rank.
        seconds: What each measure took; on rank 0 only.
        coco_results: Makes ``detections``: that takes longer than to measure, and most epochs do
            not ask.
        score_iou: Points of Figure 2.2; on rank 0 only, None elsewhere.
        errors: Makes the costs of each type of error (the values of :class:`ErrorTypes`), and the
            confusion matrix with the curves of ``boxes`` and, where there are some, of ``masks``;
            most epochs do not ask. On rank 0 only, and where there are objects to compare with.
    """

    metrics: dict[str, Number]
    per_class: list[dict[str, Any]]
    seconds: dict[str, float] = field(default_factory=dict)
    coco_results: Callable[[], list[dict[str, Any]]] = list
    score_iou: ScoreIouPairs | None = None
    errors: Callable[[], tuple[Mapping[str, Number], dict[str, ErrorView]]] | None = None

    @property
    def detections(self) -> list[dict[str, Any]]:
        """COCO results list by image id; on rank 0 only, empty elsewhere."""
        return self.coco_results()


class DetectionEvaluator:
    """Evaluates the images that it is given against a COCO annotation file.

    Nothing is communicated before :meth:`compute`, which all ranks must call: ranks may see
    different numbers of batches. AP does not depend on the number of ranks.

    Args:
        annotation_file: COCO annotations; read at the first evaluation.
        category_ids: Category id of every label.
        metrics: Measures to compute. Default: AP, oLRP, beta_img and beta_cls.
        masks: Also evaluate masks where the detections have some; their measures carry the prefix
            ``mask_``.
        annotated: False for a file of images alone (COCO's test-dev): nothing can be measured, but
            the detections are collected.
    """

    def __init__(
        self,
        annotation_file: Path | str,
        category_ids: Sequence[int],
        metrics: Sequence[Metric] | None = None,
        masks: bool = False,
        annotated: bool = True,
    ) -> None:
        self.masks = masks
        self.annotated = annotated
        self.annotation_file = Path(annotation_file)
        self.category_ids = tuple(int(c) for c in category_ids)
        if metrics is None:
            metrics = (CocoEvaluate(), Olrp(), ImageCorrelation(), ClassCorrelation())
        self.metrics: tuple[Metric, ...] = tuple(metrics)
        self._records: dict[int, ImageRecord] = {}
        self._ground_truth: GroundTruth | None = None
        if not self.annotation_file.is_file():
            raise ValueError(
                f"Expected `annotation_file` to be a file, but got {self.annotation_file}."
            )

    def reset(self) -> None:
        """Forget all records."""
        self._records.clear()

    def update(self, records: Sequence[ImageRecord]) -> None:
        """Add images. An image seen before keeps its first record (samplers repeat images).

        Raises:
            ValueError: If a score, box or IoU is not finite.
        """
        for record in records:
            check_record(record)
            self._records.setdefault(int(record.image_id), record)

    def gather(self) -> list[ImageRecord]:
        """Return all ranks' records once each, by image id; on other ranks than 0, none.

        Of an image that several ranks saw, the record of the lowest rank is kept.
        """
        merged = self._records
        if _distributed():
            parts: list[Any] | None = [None] * dist.get_world_size() if _rank() == 0 else None
            dist.gather_object(self._records, parts, dst=0)
            merged = {}
            for part in parts or ():
                merged = {**part, **merged}
        return [merged[image_id] for image_id in sorted(merged)]

    def compute(self) -> EvaluationResult:
        """Evaluate on rank 0 and tell the other ranks.

        Raises:
            ValueError: On every rank, if the records cannot be evaluated.
            RuntimeError: On the other ranks, if rank 0 failed in any other way.
        """
        records = self.gather()
        if not _distributed():
            return self._evaluate(records)
        message: list[Any] = [None]
        result: EvaluationResult | None = None
        failure: Exception | None = None
        if _rank() == 0:
            try:
                result = self._evaluate(records)
                message = [
                    replace(result, seconds={}, coco_results=list, score_iou=None, errors=None)
                ]
            except Exception as error:  # Of any kind: the others would wait for ever.
                failure = error
                message = [_told(error)]
        dist.broadcast_object_list(message, src=0)
        if failure is not None:
            raise failure
        if isinstance(message[0], Exception):
            raise message[0]
        return result if result is not None else message[0]

    def names(self) -> set[str]:
        """Return the names of all measures that an evaluation will have, those of masks too."""
        names = set(self._evaluate([]).metrics)
        return names | {f"mask_{name}" for name in names if self.masks}

    def _warn_of_crowding(self, ground_truth: GroundTruth) -> None:
        limited = [m for m in self.metrics if isinstance(m, CocoEvaluate)]
        if any(m.max_detections is None for m in limited):
            words = ground_truth.crowding(MAX_DETECTIONS)
            if words:
                log.warning(
                    "%s: %s; metric.coco_evaluate.max_detections=300 adds AP_300 (the detector's "
                    "max_detections has to allow as many).",
                    self.annotation_file.name,
                    words,
                )

    def _evaluate(self, records: Sequence[ImageRecord]) -> EvaluationResult:
        if self._ground_truth is None:
            self._ground_truth = GroundTruth.load(
                self.annotation_file, self.category_ids, self.masks, self.annotated
            )
            self._warn_of_crowding(self._ground_truth)
        evaluation = Evaluation.from_records(self._ground_truth, records)
        masks = None
        if self.masks and evaluation.results.masks is not None:
            masks = Evaluation(evaluation.ground_truth, evaluation.results, masks=True)
        measured = measure(evaluation, self.metrics, masks)
        return EvaluationResult(
            metrics=measured.metrics,
            per_class=measured.per_class,
            seconds=measured.seconds,
            coco_results=partial(evaluation.results.to_coco, evaluation.ground_truth),
            score_iou=score_iou_pairs(evaluation),
            errors=partial(_errors, evaluation, masks) if self.annotated else None,
        )


def _errors(
    boxes: Evaluation, masks: Evaluation | None
) -> tuple[Mapping[str, Number], dict[str, ErrorView]]:
    views = {"boxes": error_view(boxes)}
    if masks is not None:
        views["masks"] = error_view(masks)
    return ErrorTypes()(boxes).values, views


def _told(error: Exception) -> Exception:
    """Return what the other ranks raise; many exceptions cannot be sent as they are."""
    if isinstance(error, ValueError):
        return ValueError(str(error))
    what = " ".join(f"{type(error).__name__} {error}".split())
    return RuntimeError(f"Rank 0 failed while it computed the measures: {what}")


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def _rank() -> int:
    return dist.get_rank()
