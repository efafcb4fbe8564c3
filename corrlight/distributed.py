"""The collectives of training: a mean over ranks, and the positives of all ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from corrlight.structures import Positives

__all__ = ["gather_positives", "mean_over_ranks", "world_size"]

# Columns of what travels; all else of the positives are integers.
_BOXES = ("pred_boxes", "gt_boxes")
_INTEGERS = ("labels", "image_idx", "pred_idx", "level_idx", "gt_idx")


def world_size() -> int:
    """Return the number of ranks, 1 without an initialised process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@torch.no_grad()
def mean_over_ranks(stages: Sequence[Mapping[str, Tensor]]) -> list[dict[str, Tensor]]:
    """Return the scalars of every stage averaged over the ranks, in one reduction.

    Every rank has to pass the same number of stages with the same names.
    """
    names = [(i, name) for i, stage in enumerate(stages) for name in sorted(stage)]
    result = [dict(stage) for stage in stages]
    if not names or world_size() == 1:
        return result
    values = torch.stack([stages[i][name].detach().float() for i, name in names])
    dist.all_reduce(values)
    for (i, name), value in zip(names, values / world_size(), strict=True):
        result[i][name] = value
    return result


def gather_positives(stages: Sequence[Positives], num_images: int) -> list[Positives]:
    """Return the positives of all ranks, in the order of the ranks, for every stage.

    ``image_idx`` goes on counting from rank to rank, so the result is that of one process with the
    images of all ranks. So is its gradient: every rank computes the same loss of the same
    positives, passes the gradient of its own ones on, times the number of ranks, and the average
    that data-parallel training takes of the ranks' gradients is their sum. The backward pass needs
    no collective.

    Every rank has to pass the same number of stages, with any number of positives, at the same
    point of its program: there are three collectives a call.

    Args:
        stages: Positives of this rank.
        num_images: Images of this rank's batch.
    """
    ranks = world_size()
    if ranks == 1:
        return list(stages)
    floats = torch.cat([_floats(stage) for stage in stages])  # (all stages' P, 9)
    integers = torch.cat([_integers(stage) for stage in stages])
    counts = torch.tensor([num_images, *(len(stage) for stage in stages)], device=floats.device)
    table = counts.new_empty(ranks * len(counts))
    dist.all_gather_into_tensor(table, counts)
    sizes = table.view(ranks, -1).tolist()
    most = max(sum(row[1:]) for row in sizes)
    all_floats = _GatherRows.apply(floats, most, ranks)
    all_integers = _gathered(integers, most, ranks)
    parts: list[list[Positives]] = [[] for _ in stages]
    first_image = 0
    for rank, (images, *lengths) in enumerate(sizes):
        rows = all_floats[rank, : sum(lengths)].split(lengths)
        columns = all_integers[rank, : sum(lengths)].split(lengths)
        for part, own_floats, own_integers in zip(parts, rows, columns, strict=True):
            part.append(_positives(own_floats, own_integers, first_image))
        first_image += images
    return [_joined(part) for part in parts]


class _GatherRows(torch.autograd.Function):
    """``(ranks, most, K)`` rows of all ranks; the gradient of the own ones, times the ranks."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, most: int, ranks: int) -> Tensor:
        ctx.length = len(rows)
        return _gathered(rows, most, ranks)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        return grad_output[dist.get_rank(), : ctx.length] * len(grad_output), None, None


def _gathered(rows: Tensor, most: int, ranks: int) -> Tensor:
    padded = rows.new_zeros(most, rows.shape[1])
    padded[: len(rows)] = rows.detach()
    result = rows.new_empty(ranks, most, rows.shape[1])
    if most:
        dist.all_gather_into_tensor(result.flatten(0, 1), padded)
    return result


def _floats(positives: Positives) -> Tensor:
    columns = [positives.scores[:, None], *(getattr(positives, name) for name in _BOXES)]
    return torch.cat(columns, 1)


def _integers(positives: Positives) -> Tensor:
    return torch.stack([getattr(positives, name).long() for name in _INTEGERS], 1)


def _positives(floats: Tensor, integers: Tensor, first_image: int) -> Positives:
    scores, pred_boxes, gt_boxes = floats.split([1, 4, 4], 1)
    columns = dict(zip(_INTEGERS, integers.unbind(1), strict=True))
    columns["image_idx"] = columns["image_idx"] + first_image
    return Positives(scores=scores.squeeze(1), pred_boxes=pred_boxes, gt_boxes=gt_boxes, **columns)


def _joined(parts: Sequence[Positives]) -> Positives:
    names = ("scores", *_BOXES, *_INTEGERS)
    return replace(
        parts[0], **{name: torch.cat([getattr(p, name) for p in parts]) for name in names}
    )
