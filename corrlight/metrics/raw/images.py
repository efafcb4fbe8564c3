"""Batches to dumps and back: what post-processing needs, without the (N, C) scores."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from corrlight.coco.types import Array
from corrlight.metrics.records import ranking_scores
from corrlight.postprocess import FastNMSPostprocessor, NMSPostprocessor, TopKPostprocessor
from corrlight.structures import Batch, Positives, Predictions, ScoreOverride, Size

if TYPE_CHECKING:
    from corrlight.metrics.raw.dump import RawCandidates, RawDump
    from corrlight.postprocess.base import Postprocessor
    from corrlight.structures import StepOutput

__all__ = [
    "RestoredImage",
    "postprocess_options",
    "raw_images",
    "restored_images",
    "restored_postprocessor",
]

# Beyond it a score is 0 or 1 in float32.
_LARGEST = 88.0
_KNOWN = {
    kind.__name__: kind for kind in (NMSPostprocessor, FastNMSPostprocessor, TopKPostprocessor)
}


def postprocess_options(postprocessor: Postprocessor) -> dict[str, Any] | None:
    """Return name and options of a postprocessor, or None if a dump cannot hold its input."""
    kind = type(postprocessor)
    if _KNOWN.get(kind.__name__) is not kind:
        return None
    names = inspect.signature(kind).parameters
    return {"name": kind.__name__, **{n: getattr(postprocessor, n) for n in names}}


def restored_postprocessor(options: Mapping[str, Any]) -> Postprocessor:
    """Return the postprocessor that a dump names.

    Raises:
        ValueError: If there is none of that name, or an option is unknown or out of range.
    """
    arguments = dict(options)
    kind = _KNOWN.get(arguments.pop("name"))
    if kind is None:
        raise ValueError(
            f"Expected `postprocess` to be one of {sorted(_KNOWN)}, but got {options}."
        )
    try:
        found: Postprocessor = kind(**arguments)
    except TypeError as error:
        raise ValueError(f"Expected options of {kind.__name__}, but got: {error}.") from None
    return found


def raw_images(
    batch: Batch,
    output: StepOutput,
    postprocessor: Postprocessor,
    category_ids: Array,
) -> Iterator[dict[str, Array]]:
    """Yield the columns of :class:`~corrlight.metrics.raw.dump.RawDump` of every image.

    Kept are the positives and all pairs of hypothesis and class that post-processing may select
    whatever the scores of the positives are, so it gives the same detections from the dump.
    """
    predictions, positives = output.predictions[-1], output.positives[-1]
    scores = positives.scores.detach()
    ranking = ranking_scores(predictions, positives, scores, postprocessor)
    columns = {
        "positive_score": scores.float(),
        "positive_iou": positives.ious().detach().float(),
        **({} if ranking is None else {"positive_ranking_score": ranking.float()}),
    }
    with_candidates = postprocess_options(postprocessor) is not None
    for i, targets in enumerate(batch.targets):
        mine = positives.image_idx == i
        image = {name: _array(values[mine]) for name, values in columns.items()}
        image["positive_image_id"] = np.full(int(mine.sum()), targets.image_id, np.int64)
        if with_candidates:
            found = _candidates(predictions, positives, postprocessor, i)
            image |= _with_category_ids(found, category_ids)
            image["box_image_id"] = np.full(len(image["boxes"]), targets.image_id, np.int64)
        image["image_id"] = np.array([targets.image_id], np.int64)
        image["image_size"] = np.array([targets.valid_size], np.int64)
        image["file_size"] = np.array([targets.original_size], np.int64)
        yield image


def _with_category_ids(image: dict[str, Array], category_ids: Array) -> dict[str, Array]:
    return {
        name: category_ids[values] if name.endswith("category_id") else values
        for name, values in image.items()
    }


def _candidates(
    predictions: Predictions, positives: Positives, postprocessor: Any, image: int
) -> dict[str, Array]:
    logits = predictions.logits[image].float()
    if predictions.activation == "softmax":
        logits = torch.logit(logits.double().softmax(-1)[:, :-1]).clamp(-_LARGEST, _LARGEST).float()
    mine = positives.image_idx == image
    pred_idx, labels = positives.pred_idx[mine], positives.labels[mine]
    own = torch.zeros_like(logits, dtype=torch.bool)
    own[pred_idx, labels] = True
    chosen = own | _selectable(logits, own, predictions, postprocessor, image)
    rows, classes = chosen.nonzero(as_tuple=True)
    hypotheses, local = rows.unique(return_inverse=True)  # ascending, hence by level
    boxes = predictions.boxes[image, hypotheses].float()
    columns = {
        "boxes": boxes,
        "box_level": predictions.level_idx[hypotheses],
        "candidate_box": local,
        "candidate_category_id": classes,
        "candidate_logit": logits[rows, classes],
        "positive_box": torch.searchsorted(hypotheses, pred_idx),
        "positive_category_id": labels,
    }
    if predictions.quality is not None:
        columns["box_quality"] = predictions.quality[image, hypotheses].float()
    return {name: _array(values) for name, values in columns.items()}


def _selectable(
    logits: Tensor, own: Tensor, predictions: Predictions, postprocessor: Any, image: int
) -> Tensor:
    """Return ``(N, C)`` bool: pairs that may be selected, those of the positives aside."""
    if isinstance(postprocessor, NMSPostprocessor):
        scores = logits.sigmoid()
        if predictions.quality is not None:
            ranked = postprocessor.ranking_scores(scores, predictions.quality[image])
            scores = torch.maximum(scores, ranked)
        return scores > postprocessor.score_thresh
    others = logits.masked_fill(own, -torch.inf)
    others = others.masked_fill(~predictions.valid[image, :, None], -torch.inf)
    chosen = torch.zeros_like(own)
    if postprocessor.select == "pairs":
        best = others.flatten().topk(min(postprocessor.max_detections, others.numel()))
        chosen.view(-1)[best.indices] = True
    else:
        chosen.scatter_(1, others.argmax(1, keepdim=True), value=True)
    return chosen & (others > -torch.inf)


class RestoredImage:
    """One image of a dump, ready to be post-processed.

    Args:
        dump: Its positives.
        raw: Its candidates.
        row: Which image.
        rows: Its rows of the boxes, candidates and positives.
        label_of: Category id -> label.
    """

    def __init__(
        self,
        dump: RawDump,
        raw: RawCandidates,
        row: int,
        rows: Mapping[str, Array],
        label_of: Mapping[int, int],
    ) -> None:
        boxes, candidates, mine = rows["box"], rows["candidate"], rows["positive"]
        boxes = boxes[np.argsort(raw.box_level[boxes], kind="stable")]
        self.image_id = int(raw.image_id[row])
        self.size: Size = _size(raw.image_size[row])
        self.file_size: Size = _size(raw.file_size[row])
        place = np.zeros(int(boxes.max(initial=0)) + 1, np.int64)
        place[boxes] = np.arange(len(boxes))
        # An image without boxes gets one that is not valid: no tensor is empty.
        count = max(1, len(boxes))
        logits = torch.full((count, len(label_of)), -torch.inf)
        where = (
            place[raw.candidate_box[candidates]],
            _labels(raw.candidate_category_id[candidates], label_of),
        )
        logits[where] = torch.from_numpy(raw.candidate_logit[candidates]).float()
        corners = np.zeros((count, 4), np.float32)
        corners[: len(boxes)] = raw.boxes[boxes]
        levels = np.zeros(count, np.int64)
        levels[: len(boxes)] = raw.box_level[boxes]
        quality = None
        if raw.box_quality is not None:
            quality = np.zeros((1, count), np.float32)
            quality[0, : len(boxes)] = raw.box_quality[boxes]
        self.predictions = Predictions(
            logits=logits[None],
            boxes=torch.from_numpy(corners)[None],
            level_idx=torch.from_numpy(levels),
            activation="sigmoid",
            valid=torch.arange(count)[None] < len(boxes),
            quality=None if quality is None else torch.from_numpy(quality),
        )
        self.positive_idx = torch.from_numpy(place[raw.positive_box[mine]])
        self.positive_labels = torch.from_numpy(_labels(raw.positive_category_id[mine], label_of))
        self.positive_scores = dump.positive_score[mine]
        self.positive_ious = dump.positive_iou[mine]

    def override(self, scores: Array) -> ScoreOverride:
        """Return new class scores ``(P,)`` of the positives."""
        return ScoreOverride(
            image_idx=torch.zeros_like(self.positive_idx),
            pred_idx=self.positive_idx,
            label=self.positive_labels,
            score=torch.from_numpy(np.ascontiguousarray(scores)).float(),
        )


def restored_images(
    dump: RawDump, raw: RawCandidates, category_ids: Array
) -> Iterator[RestoredImage]:
    """Yield the images of a dump.

    Args:
        dump: Its positives.
        raw: Its candidates.
        category_ids: Category id of every label.

    Raises:
        ValueError: If a category is unknown.
    """
    label_of = {c: k for k, c in enumerate(category_ids.tolist())}
    owners = {
        "box": raw.box_image_id,
        "candidate": raw.box_image_id[raw.candidate_box],
        "positive": dump.positive_image_id,
    }
    grouped = {name: _rows_of(owner, raw.image_id) for name, owner in owners.items()}
    for row in range(len(raw.image_id)):
        rows = {name: groups[row] for name, groups in grouped.items()}
        yield RestoredImage(dump, raw, row, rows, label_of)


def _rows_of(owner: Array, ids: Array) -> list[Array]:
    """Return for each id the ascending rows that belong to it."""
    order = np.argsort(owner, kind="stable")
    ends = [np.searchsorted(owner[order], ids, side) for side in ("left", "right")]
    return [order[a:b] for a, b in zip(*ends, strict=True)]


def _labels(category_ids: Array, label_of: Mapping[int, int]) -> Array:
    unknown = [c for c in np.unique(category_ids).tolist() if c not in label_of]
    if unknown:
        raise ValueError(
            f"Expected categories of the annotations in the dump, but got {unknown[0]}."
        )
    return np.array([label_of[c] for c in category_ids.tolist()], dtype=np.int64)


def _size(pair: Array) -> Size:
    height, width = pair.tolist()
    return height, width


def _array(values: Tensor) -> Array:
    return values.detach().cpu().numpy()
