"""What changes while ``torch.export`` records a network instead of running it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["is_exporting", "tensor_of_sizes"]


def is_exporting() -> bool:
    """Whether the tensors of this call are recorded: they have no values, sizes may be symbols."""
    # Older versions of PyTorch cannot tell an export from a compilation.
    asked: Any = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
    return bool(asked())


def tensor_of_sizes(
    rows: Sequence[Sequence[int]], device: torch.device, dtype: torch.dtype = torch.int64
) -> Tensor:
    """Return ``(R, K)`` numbers as a tensor; sizes of a recorded call stay symbols in it.

    ``torch.tensor`` makes constants of them.

    Args:
        rows: R rows of K numbers.
        device: Where the result lies.
        dtype: Its type.
    """
    if not is_exporting():
        return torch.tensor(rows, device=device, dtype=dtype)
    return torch.stack(
        [torch.stack([torch.full((), n, device=device, dtype=dtype) for n in row]) for row in rows]
    )
