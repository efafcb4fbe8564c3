"""Image-level AP bounds: positives re-ranked by IoU within their image, then post-processed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch

from corrlight.metrics.base import Number
from corrlight.metrics.coco_evaluate import CocoEvaluate
from corrlight.metrics.evaluator import DetectionEvaluator
from corrlight.metrics.functional.score_bounds import Direction, classes_outside, reranked_scores
from corrlight.metrics.records import image_records
from corrlight.structures import Batch, Positives, ScoreOverride

if TYPE_CHECKING:
    from corrlight.postprocess.base import Postprocessor
    from corrlight.structures import StepOutput

__all__ = ["ImageBounds", "reranked_override"]

_OWN = "own"
_NAMES = ("AP", "AP50", "AP75")


def reranked_override(positives: Positives, direction: Direction) -> ScoreOverride:
    """Return the class scores that make the correlation of every image +1 or -1.

    Args:
        positives: Positives of the stage that is post-processed.
        direction: "upper" ranks by IoU, "lower" against it.
    """
    scores = positives.scores.detach()
    ious = positives.ious().detach()
    new = reranked_scores(scores.cpu(), ious.cpu(), positives.image_idx.cpu(), direction)
    return ScoreOverride(
        image_idx=positives.image_idx,
        pred_idx=positives.pred_idx,
        label=positives.labels,
        score=torch.from_numpy(new).to(scores),
    )


class ImageBounds:
    """``{AP,AP50,AP75}_{upper,lower}_img`` (Table 3.1 of the thesis).

    Only the class scores of the positives are permuted, within their image; quality factors
    (centerness, IoU), boxes, other classes and negatives stay, and post-processing runs again.
    That is two more post-processings a batch and three more evaluations: for the test.
    ``num_classes_bounds_violated_img`` counts the classes whose own AP, AP50 or AP75 lies outside.

    Args:
        annotation_file: COCO annotations.
        category_ids: Category id of every label.
    """

    def __init__(self, annotation_file: Path | str, category_ids: Sequence[int]) -> None:
        self._evaluators = {
            name: DetectionEvaluator(annotation_file, category_ids, [CocoEvaluate()])
            for name in (_OWN, *get_args(Direction))
        }

    def reset(self) -> None:
        """Forget all images."""
        for evaluator in self._evaluators.values():
            evaluator.reset()

    def update(self, batch: Batch, output: StepOutput, postprocessor: Postprocessor) -> None:
        """Add a batch with its predictions and positives."""
        predictions = replace(output.predictions[-1], mask=None, region_masks=None)  # of boxes
        self._evaluators[_OWN].update(image_records(batch, output, postprocessor))
        for direction in get_args(Direction):
            override = reranked_override(output.positives[-1], direction)
            detections = postprocessor(predictions, batch.valid_sizes, override)
            changed = replace(output, detections=detections)
            self._evaluators[direction].update(image_records(batch, changed, postprocessor))

    def compute(self) -> dict[str, Number]:
        """Return the six bounds and what lies outside, the same on every rank.

        All ranks must call it.
        """
        found = {name: evaluator.compute() for name, evaluator in self._evaluators.items()}
        values: dict[str, Number] = {
            f"{n}_{direction}_img": found[direction].metrics[n]
            for direction in get_args(Direction)
            for n in _NAMES
        }
        own, lower, upper = (
            {n: np.array([row[n] for row in found[name].per_class], np.float64) for n in _NAMES}
            for name in (_OWN, "lower", "upper")
        )
        return {**values, "num_classes_bounds_violated_img": classes_outside(own, lower, upper)}
