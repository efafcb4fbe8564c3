"""Image-level bounds from a dump: the same post-processing on permuted scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np

from corrlight.boxes import scale_boxes
from corrlight.coco.ground_truth import GroundTruth
from corrlight.coco.types import ImageRecord
from corrlight.metrics.base import Number
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.coco_evaluate import coco_evaluate
from corrlight.metrics.functional.score_bounds import Direction, classes_outside, reranked_scores
from corrlight.metrics.raw.dump import RawDump
from corrlight.metrics.raw.images import RestoredImage, restored_images, restored_postprocessor
from corrlight.postprocess.base import Postprocessor
from corrlight.structures import ScoreOverride

__all__ = ["raw_bounds"]

_NAMES = {"AP": None, "AP50": 0.5, "AP75": 0.75}


def raw_bounds(
    dump: RawDump,
    ground_truth: GroundTruth,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Number]:
    """Return ``{AP,AP50,AP75}_{upper,lower}_img`` and ``{AP,AP50,AP75}_raw`` of the dump as it is.

    ``num_classes_bounds_violated_img`` counts the classes in which one of the latter lies outside.

    Args:
        dump: The dump; it has candidates.
        ground_truth: The objects of its images.
        progress: Called with the share of the images done.

    Raises:
        ValueError: If an image or category is unknown, or the post-processing is.
    """
    raw = dump.candidates
    if raw is None:
        raise ValueError("Expected a dump with candidates and post-processing, but got none.")
    postprocessor = restored_postprocessor(raw.postprocess)
    records: dict[str, list[ImageRecord]] = {"raw": [], **{d: [] for d in get_args(Direction)}}
    for k, image in enumerate(restored_images(dump, raw, ground_truth.category_ids)):
        records["raw"].append(_record(image, postprocessor, None))
        groups = np.zeros(len(image.positive_scores), np.int64)
        for direction in get_args(Direction):
            scores = reranked_scores(image.positive_scores, image.positive_ious, groups, direction)
            records[direction].append(_record(image, postprocessor, image.override(scores)))
        progress((k + 1) / len(raw.image_id))
    found = {
        name: coco_evaluate(Evaluation.from_records(ground_truth, mine))
        for name, mine in records.items()
    }
    by_class = {
        name: {n: numbers.class_ap(t) for n, t in _NAMES.items()} for name, numbers in found.items()
    }
    own = found.pop("raw").values
    values: dict[str, Number] = {f"{n}_raw": own[n] for n in _NAMES}
    for direction, numbers in found.items():
        values |= {f"{n}_{direction}_img": numbers.values[n] for n in _NAMES}
    outside = classes_outside(by_class["raw"], by_class["lower"], by_class["upper"])
    return {**values, "num_classes_bounds_violated_img": outside}


def _record(
    image: RestoredImage, postprocessor: Postprocessor, override: ScoreOverride | None
) -> ImageRecord:
    (found,) = postprocessor(image.predictions, [image.size], override)
    # Classes without a candidate score 0, which a post-processing without threshold may report.
    real = found.scores > 0
    boxes = scale_boxes(found.boxes[real], image.size, image.file_size)
    return ImageRecord(
        image_id=image.image_id,
        boxes=boxes.double().numpy(),
        scores=found.scores[real].double().numpy(),
        labels=found.labels[real].numpy(),
        positive_scores=np.zeros(0),
        positive_ious=np.zeros(0),
    )
