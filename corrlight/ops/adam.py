"""A step of Adam that passes over the weights of a large network once, on CPU."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer

from corrlight.ops.switch import is_on

__all__ = ["fuse_next_step"]

# A small network gains nothing that shows, and keeps the loop's rounding.
_MIN_WEIGHTS = 2**22
# What stands in a group's `fused` while our choice holds. PyTorch asks whether it is true; wherever
# it turns up later (in a copy, in a checkpoint after a step that failed), it can be told from a
# user's True.
_OURS = 1

_watched: weakref.WeakSet[Optimizer] = weakref.WeakSet()


def fuse_next_step(optimizer: Optimizer) -> bool:
    """Have the next step of Adam or AdamW take PyTorch's fused kernel instead of its loop.

    Equals ``torch.optim.Adam`` and ``torch.optim.AdamW``, up to rounding. The loop reads and writes
    all weights and averages once for each of ten operators; where they are tens of millions, that
    takes as long as the rest of a training iteration does on two cores.

    The choice is taken back after the step, or by the next call if that step never came: the next
    gradients may lie differently. The kernel takes a weight, its gradient and its averages in the
    order of memory, whatever their strides are, and does not say so where they differ. So nobody
    may replace a gradient between this call and the step.

    Args:
        optimizer: Whose gradients are there, clipped and all.

    Returns:
        Whether it does: for float32 on CPU, a large network, strides that agree, and neither
        ``fused`` nor ``foreach`` chosen.
    """
    # A subclass may do other things than the kernel; AdamW is one of Adam in newer versions.
    if type(optimizer) not in (Adam, AdamW):
        return False
    _take_back(optimizer)
    groups = optimizer.param_groups
    updated = [p for group in groups for p in group["params"] if p.grad is not None]
    if not is_on("adam") or sum(p.numel() for p in updated) < _MIN_WEIGHTS:
        return False
    plain = all(_takes_the_default(group) for group in groups)
    if not plain or not all(_lies_alike(p, optimizer.state.get(p, {})) for p in updated):
        return False
    if optimizer not in _watched:
        # Never removed: PyTorch may be going through the hooks.
        optimizer.register_step_post_hook(_take_back)
        _watched.add(optimizer)
    for group in groups:
        group["fused"] = _OURS
    return True


def _take_back(optimizer: Optimizer, *_: Any) -> None:
    for group in optimizer.param_groups:
        if group.get("fused") is not True and group.get("fused") == _OURS:
            group["fused"] = None


def _takes_the_default(group: dict[str, Any]) -> bool:
    """Whether nothing was asked for that the kernel does not do, or that chooses another one."""
    chosen = group.get("fused") is not None or group.get("foreach") is not None
    other = group.get("capturable") or group.get("differentiable")
    # A rate that is a tensor belongs to a compiled step.
    return not (chosen or other or isinstance(group["lr"], Tensor))


def _lies_alike(parameter: Tensor, state: dict[str, Any]) -> bool:
    """Whether a weight, its gradient and its averages are float32 on CPU in the same layout."""
    assert parameter.grad is not None
    averages = [v for v in state.values() if isinstance(v, Tensor) and v.shape == parameter.shape]
    ordinary = all(
        t.device.type == "cpu" and t.dtype == torch.float32 and t.layout == torch.strided
        for t in (parameter, parameter.grad, *averages)
    )
    if not ordinary:
        return False
    # Without gaps, which the kernel would take for weights.
    formats = [torch.contiguous_format, *([torch.channels_last] * (parameter.ndim == 4))]
    dense = any(parameter.is_contiguous(memory_format=f) for f in formats)
    return dense and all(_same_order(t, parameter) for t in (parameter.grad, *averages))


def _same_order(one: Tensor, other: Tensor) -> bool:
    """Whether tensors of one shape lie alike; the stride of a single element says nothing."""
    strides = zip(one.shape, one.stride(), other.stride(), strict=True)
    return one.stride() == other.stride() or all(a == b for size, a, b in strides if size > 1)
