"""A batch's output to the plain records that the evaluator keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from corrlight.coco.types import ImageRecord
from corrlight.structures import Batch, Positives, Predictions

if TYPE_CHECKING:
    from torch import Tensor

    from corrlight.postprocess.base import Postprocessor
    from corrlight.structures import StepOutput

__all__ = ["image_records", "ranking_scores"]


def image_records(
    batch: Batch, output: StepOutput, postprocessor: Postprocessor
) -> list[ImageRecord]:
    """Return one record an image: detections in file pixels and the last stage's positives."""
    predictions, positives = output.predictions[-1], output.positives[-1]
    scores = positives.scores.detach()
    ranking = ranking_scores(predictions, positives, scores, postprocessor)
    ious = _native(positives.ious())
    image_idx = _array(positives.image_idx)
    scores_array = _native(scores)
    ranking_array = None if ranking is None else _native(ranking)
    records = []
    for i, (targets, detections) in enumerate(zip(batch.targets, output.detections, strict=True)):
        mine = image_idx == i
        final = detections.to_original(targets)
        records.append(
            ImageRecord(
                image_id=targets.image_id,
                boxes=_array(final.boxes),
                scores=_array(final.scores),
                labels=_array(final.labels).astype(np.int64),
                positive_scores=scores_array[mine],
                positive_ranking_scores=None if ranking_array is None else ranking_array[mine],
                positive_ious=ious[mine],
                masks=final.masks,
            )
        )
    return records


def ranking_scores(
    predictions: Predictions, positives: Positives, scores: Tensor, postprocessor: Postprocessor
) -> Tensor | None:
    """Return the ``(P,)`` ranking scores of positives, None without a quality branch."""
    if predictions.quality is None:
        return None
    quality = predictions.quality[positives.image_idx, positives.pred_idx]
    return postprocessor.ranking_scores(scores, quality)


def _array(tensor: Tensor) -> Any:
    return tensor.detach().double().cpu().numpy()


def _native(tensor: Tensor) -> Any:
    # The type tells the correlation how far rounding reaches: constant float32 values must not
    # become float64 values that seem to vary.
    half = tensor.dtype in (torch.float16, torch.bfloat16)
    return tensor.detach().to(torch.float32 if half else tensor.dtype).cpu().numpy()
