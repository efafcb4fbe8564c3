"""The one collective of training: a mean over ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["mean_over_ranks", "world_size"]


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
