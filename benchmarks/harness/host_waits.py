"""How often a step waits for its device: operators whose result, or its size, the host reads.

A GPU works through what it is given while the host goes on; where the host needs a number, it
waits. On CPU the same operators run, and are counted here, without a GPU.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["HostWaits"]

# Operators that read a number, or make a tensor whose size is one.
_WAITING = frozenset(
    {
        *("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "bincount"),
        *("_unique2", "unique_dim", "unique_consecutive"),
    }
)
# What tensors on CPU answer without any operator.
_READING = frozenset({"tolist", "cpu", "numpy", "__array__"})


class HostWaits:
    """Counts, while it is entered, what waits for a device; forward and backward.

    Attributes:
        counts: Times by operator.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._modes = (_Functions(self.counts), _Operators(self.counts))

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())

    def __enter__(self) -> HostWaits:
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)


class _Functions(TorchFunctionMode):
    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _READING:
            self._counts[name] += 1
        return func(*args, **(kwargs or {}))


class _Operators(TorchDispatchMode):
    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in _WAITING or _takes_mask(name, args) or _takes_sizes(name, args, kwargs):
            self._counts[name] += 1
        elif name == "_to_copy" and _leaves_device(args[0], kwargs.get("device")):
            self._counts["to cpu"] += 1
        return func(*args, **kwargs)


def _takes_mask(name: str, args: Any) -> bool:
    """Return whether an index has a mask, whose true places are counted first."""
    if name not in ("index", "index_put", "index_put_", "_index_put_impl_"):
        return False
    return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])


def _takes_sizes(name: str, args: Any, kwargs: Any) -> bool:
    """Return whether repeats decide the size of the result."""
    if name != "repeat_interleave" or kwargs.get("output_size") is not None:
        return False
    return all(not isinstance(a, int) for a in args)


def _leaves_device(tensor: torch.Tensor, device: torch.device | None) -> bool:
    return device is not None and device.type == "cpu" and tensor.device.type != "cpu"
