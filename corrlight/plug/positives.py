"""Positives from what other libraries hand over: matched queries, matched priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from corrlight.boxes import cxcywh_to_xyxy
from corrlight.structures import Activation, Positives

__all__ = ["check_labels", "image_ids", "joined", "make_positives", "query_positives", "scores_of"]

# Boxes in fractions of the image are measured as if it had this many pixels a side: the IoU is the
# same, and its lower bound of a union (1e-6 square pixels) stays far from any object. A power of
# two, so nothing is rounded.
_SIDE = 4096.0

Targets = Sequence[Mapping[str, Any]]
Indices = Sequence[tuple[Tensor, Tensor]]


def check_labels(targets: Targets, key: str, low: int, high: int, why: str) -> int:
    """Check the labels of a batch, and return how many there are.

    Args:
        targets: One an image.
        key: What the labels are called.
        low: Smallest label.
        high: Smallest number that is none.
        why: What decides ``high``.

    Raises:
        ValueError: A label is outside of ``[low, high)``.
    """
    labels = [target[key] for target in targets]
    together = torch.cat([values.flatten() for values in labels]) if labels else torch.zeros(0)
    if ((together < low) | (together >= high)).any():
        for k, values in enumerate(labels):
            wrong = values[(values < low) | (values >= high)]
            if len(wrong):
                raise ValueError(
                    f"Expected `{key}` of image {k} of the batch to be in [{low}, {high}), as "
                    f"{why}, but got {int(wrong[0])}."
                )
    return together.numel()


def image_ids(targets: Targets) -> list[int | None]:
    """Return ``image_id`` of every target, None for all unless all have one."""
    ids = [target.get("image_id") for target in targets]
    if any(value is None for value in ids):
        return [None] * len(ids)
    return [int(value) for value in ids if value is not None]


def scores_of(rows: Tensor, labels: Tensor, activation: Activation) -> Tensor:
    """Return the ``(P,)`` scores of ``labels`` in ``(P, K)`` rows of logits, in fp32 or better."""
    rows = _full(rows)
    if activation == "sigmoid":
        return rows.gather(1, labels[:, None]).squeeze(1).sigmoid()
    return rows.softmax(-1).gather(1, labels[:, None]).squeeze(1)


def make_positives(
    *,
    scores: Tensor,
    pred_boxes: Tensor,
    gt_boxes: Tensor,
    labels: Tensor,
    image_idx: Tensor,
    pred_idx: Tensor,
    gt_idx: Tensor,
    level_idx: Tensor | None = None,
) -> Positives:
    """Return positives of plain columns; without a pyramid, of one level."""
    return Positives(
        scores=scores,
        pred_boxes=_full(pred_boxes),
        gt_boxes=_full(gt_boxes),
        labels=labels,
        image_idx=image_idx,
        pred_idx=pred_idx,
        level_idx=torch.zeros_like(pred_idx) if level_idx is None else level_idx,
        gt_idx=gt_idx,
    )


def query_positives(
    logits: Tensor,
    boxes: Tensor,
    indices: Indices,
    targets: Targets,
    label_key: str,
    activation: Activation,
) -> Positives:
    """Return the positives of matched queries.

    Args:
        logits: ``(B, N, K)``.
        boxes: ``(B, N, 4)`` centre, width and height in fractions of the image.
        indices: Queries and their objects, a pair of vectors an image.
        targets: One an image, with ``boxes`` as above.
        label_key: What their labels are called.
        activation: How logits become scores.
    """
    device = logits.device
    counts = torch.tensor([len(q) for q, _ in indices], dtype=torch.long, device=device)
    image_idx = torch.arange(len(indices), device=device).repeat_interleave(counts)
    pred_idx = _joined([queries for queries, _ in indices], device)
    gt_idx = _joined([objects for _, objects in indices], device)
    pairs = list(zip(targets, (objects for _, objects in indices), strict=True))
    labels = _picked(pairs, label_key).to(device).long()
    gt_boxes = _picked(pairs, "boxes").reshape(-1, 4).to(device)
    return make_positives(
        scores=scores_of(logits[image_idx, pred_idx], labels, activation),
        pred_boxes=_in_pixels(boxes[image_idx, pred_idx]),
        gt_boxes=_in_pixels(gt_boxes),
        labels=labels,
        image_idx=image_idx,
        pred_idx=pred_idx,
        gt_idx=gt_idx,
    )


def joined(first: Positives, second: Positives) -> Positives:
    """Return the positives of both, by image and query; ``pred_idx`` tells them apart."""
    columns = {
        f.name: torch.cat([getattr(first, f.name), getattr(second, f.name)]) for f in fields(first)
    }
    width = int(columns["pred_idx"].max()) + 1 if len(columns["pred_idx"]) else 1
    order = (columns["image_idx"] * width + columns["pred_idx"]).argsort()
    return Positives(**{name: column[order] for name, column in columns.items()})


def _in_pixels(boxes: Tensor) -> Tensor:
    return cxcywh_to_xyxy(_full(boxes)) * _SIDE


def _full(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _joined(parts: Sequence[Tensor], device: torch.device) -> Tensor:
    if not parts:
        return torch.zeros(0, dtype=torch.long, device=device)
    return torch.cat([torch.as_tensor(p).to(device, torch.long) for p in parts])


def _picked(pairs: Sequence[tuple[Mapping[str, Any], Tensor]], key: str) -> Tensor:
    if not pairs:
        return torch.zeros(0)
    return torch.cat([t[key][objects.to(t[key].device)] for t, objects in pairs])
