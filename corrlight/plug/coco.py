"""Detections of any detector to a COCO results file and all measures."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from corrlight.analysis.results_file import all_metrics
from corrlight.atomic import write_text
from corrlight.coco.annotation_file.categories import read_categories
from corrlight.coco.types import Array, ImageRecord
from corrlight.distributed import world_size
from corrlight.metrics import DetectionEvaluator, GroundTruth
from corrlight.metrics.base import Number
from corrlight.plug.handle import Correlation

__all__ = ["Measures", "category_ids_of", "evaluate"]

_log = logging.getLogger(__name__)

Detections = Mapping[str, Any]


class Measures:
    """Collects detections of an evaluation, then measures and writes them.

    Args:
        annotations: COCO annotation file.
        category_ids: Category id of every label of the detector, None for a label that is no
            category (torchvision's background, COCO's gaps): its detections are left out.
        handle: Of Correlation Loss in the detector, for beta_img.

    Raises:
        ValueError: There is no such file, or a category that is not in it.
    """

    def __init__(
        self,
        annotations: Path | str,
        category_ids: Sequence[int | None],
        handle: Correlation | None = None,
    ) -> None:
        self.handle = handle
        self._labels = np.full(len(category_ids), -1)
        known = [k for k, category in enumerate(category_ids) if category is not None]
        self._labels[known] = np.arange(len(known))
        ids = [category for category in category_ids if category is not None]
        self._evaluator = DetectionEvaluator(annotations, ids, all_metrics(handle is not None))
        self._num_images = GroundTruth.load(annotations, ids).num_images
        self._seen = 0

    def __len__(self) -> int:
        """Return the number of images since the last evaluation, repetitions included."""
        return self._seen

    def clear(self) -> None:
        """Forget all detections."""
        self._evaluator.reset()
        self._seen = 0

    def add(self, image_id: int, detections: Detections) -> None:
        """Add the detections of one image; what is added again is left out.

        Args:
            image_id: The data set's id.
            detections: ``boxes`` ``(D, 4)`` as xyxy in pixels of the file, ``scores`` and
                ``labels``, both ``(D,)``.

        Raises:
            ValueError: A label is none of the detector's, a number is not finite, or the handle did
                not see the image with its objects.
        """
        labels = _array(detections["labels"]).astype(np.int64)
        wrong = labels[(labels < 0) | (labels >= len(self._labels))]
        if len(wrong):
            raise ValueError(
                f"Expected `category_ids` for every label, but got {len(self._labels)} of them and "
                f"label {wrong[0]} in image {image_id}."
            )
        labels = self._labels[labels]
        kept = labels >= 0
        scores, ious = np.zeros(0), np.zeros(0)
        if self.handle is not None:
            scores, ious = self.handle.validation.of(image_id)
        self._evaluator.update(
            [
                ImageRecord(
                    image_id=image_id,
                    boxes=_array(detections["boxes"]).reshape(-1, 4)[kept].astype(np.float64),
                    scores=_array(detections["scores"])[kept],
                    labels=labels[kept],
                    positive_scores=scores,
                    positive_ious=ious,
                )
            ]
        )
        self._seen += 1

    def compute(self, results: Path | str | None = None) -> dict[str, Number]:
        """Return all measures of the images so far, and forget these.

        All ranks have to call it, and get the same.

        Args:
            results: Where the results file goes (rank 0 writes it), or None.

        Returns:
            What ``corrlight analyze`` prints, by the names of its ``metrics.json``: fractions,
            counts, None where undefined.
        """
        found = self._evaluator.compute()
        if results is not None and (world_size() == 1 or torch.distributed.get_rank() == 0):
            write_text(results, json.dumps(found.detections))
        missing = self._num_images - int(found.metrics["num_images"] or 0)
        if missing:
            _log.warning(
                "%d of %d images of %s were not evaluated: measures are of the others.",
                missing,
                self._num_images,
                self._evaluator.annotation_file,
            )
        self.clear()
        return found.metrics


def evaluate(
    detections: Iterable[tuple[int, Detections]],
    annotations: Path | str,
    category_ids: Sequence[int | None],
    *,
    handle: Correlation | None = None,
    results: Path | str | None = None,
) -> dict[str, Number]:
    """Measure detections of any detector as ``corrlight analyze`` does.

    Args:
        detections: Image id and ``boxes`` (xyxy in pixels of the file), ``scores`` and ``labels``
            of every image; made while they are read, so a generator that runs the detector will do.
        annotations: COCO annotation file.
        category_ids: Category id of every label, None for one that is no category.
        handle: Of Correlation Loss in the detector, if that was given its targets in evaluation
            mode: adds beta_img.
        results: Where to write a COCO results file.

    Returns:
        AP, oLRP, beta_cls, bounds, counts and more by name; None where undefined.

    Raises:
        ValueError: What is wrong with the input, in one line.

    Example:
        >>> def found(model, loader):
        ...     for images, targets in loader:
        ...         for target, detections in zip(targets, model(images, targets)):
        ...             yield int(target["image_id"]), detections
    """
    measures = Measures(annotations, category_ids, handle)
    for image_id, found in detections:
        measures.add(image_id, found)
    return measures.compute(results)


def category_ids_of(names: Mapping[int, str], annotations: Path | str) -> list[int | None]:
    """Return the category id of every label, found by its name.

    Args:
        names: Of the labels, such as ``id2label`` of a model's configuration.
        annotations: COCO annotation file.

    Raises:
        ValueError: A category of the file has no label of its name, or the file is unusable.
    """
    by_name = {name: number for number, name in read_categories(annotations).items()}
    missing = sorted(set(by_name) - set(names.values()))
    if missing:
        raise ValueError(
            f"Expected a label for every category of {annotations}, but `id2label` of the model "
            f"has none called {missing[0]!r}: pass `category_ids`, the category id of every label."
        )
    return [by_name.get(names[k]) for k in sorted(names)]


def _array(values: Any) -> Array:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
