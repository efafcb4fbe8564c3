"""Parts that stay in float32 inside automatic mixed precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["full_precision"]


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Return a context without autocast on the device of ``x``.

    The device ``meta`` has no autocast and refuses to have it switched off.
    """
    # Not `torch.amp.is_autocast_available`, which torch.compile cannot trace.
    if x.is_meta:
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)
