"""What the fixtures of all detectors have in common: arrays, the input, the edge batches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from corrlight.structures import Batch, Detections, Targets


def load_arrays(path: Path) -> dict[str, Tensor]:
    """Return the arrays of an ``.npz`` file."""
    with np.load(path) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def load_batch(root: Path, valid_sizes: list[list[int]]) -> Batch:
    """Return the common input of the detectors."""
    return batch_of_arrays(load_arrays(root / "common" / "inputs.npz"), valid_sizes)


def batch_of_arrays(data: dict[str, Tensor], valid_sizes: list[list[int]]) -> Batch:
    """Return the input that the arrays of a file are."""
    images = (data["image_u8"].float() - 128) / 64
    targets = []
    for b, (height, width) in enumerate(valid_sizes):
        images[b, :, height:] = 0
        images[b, :, :, width:] = 0
        targets.append(
            Targets(
                boxes=data[f"gt_boxes_{b}"].float(),
                labels=data[f"gt_labels_{b}"].long(),
                valid_size=(height, width),
                padded_size=(-(-height // 32) * 32, -(-width // 32) * 32),
                original_size=(height, width),
                image_id=b,
            )
        )
    return Batch(images=images, targets=tuple(targets))


def edge_targets(targets: tuple[Targets, ...], case: str) -> tuple[Targets, ...]:
    """Return the ground truth of an edge batch of ``losses.json``.

    Raises:
        ValueError: There is no such batch.
    """
    first, *others = targets
    empty = [_only(t, []) for t in others]
    if case == "second_image_empty":
        return (first, *empty)
    if case == "all_empty":
        return (_only(first, []), *empty)
    if case == "one_small_box_only":
        smallest = int((first.boxes[:, 2:] - first.boxes[:, :2]).prod(1).argmin())
        return (_only(first, [smallest]), *empty)
    raise ValueError(f"Unknown edge batch {case!r}.")


def _only(targets: Targets, kept: list[int]) -> Targets:
    masks = None if targets.masks is None else targets.masks[kept]
    return dataclasses.replace(
        targets, boxes=targets.boxes[kept], labels=targets.labels[kept], masks=masks
    )


def assert_same_detections(actual: Detections, expected: dict[str, Tensor]) -> None:
    """Compare with stored ``boxes``, ``scores`` and ``labels``; equal scores come in any order.

    Boxes that are NaN there stand for any box.
    """
    order = expected["scores"].argsort(descending=True, stable=True)
    scores, labels, boxes = (expected[key][order] for key in ("scores", "labels", "boxes"))
    torch.testing.assert_close(actual.scores, scores, rtol=1e-4, atol=1e-5)
    unused = set(range(len(actual)))
    for score, label, box in zip(scores, labels, boxes, strict=True):
        same = (actual.labels == label) & ((actual.scores - score).abs() < 1e-4)
        if not bool(box.isnan().any()):
            same &= (actual.boxes - box).abs().amax(1) < 1e-2
        candidates = unused.intersection(same.nonzero().flatten().tolist())
        assert candidates, (float(score), int(label), box.tolist())
        unused.remove(min(candidates))
