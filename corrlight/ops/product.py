"""Matrix products of float32 on CPU by oneDNN, the library of PyTorch's convolutions.

PyTorch's own products are MKL's, which uses AVX-512 on Intel's processors alone: on others that
have it, oneDNN needs half the time. With AVX2 both take about the same.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from corrlight.ops.switch import is_on

__all__ = ["WIDE", "batch_product", "product", "runs_onednn"]

# Whether vectors of 512 bits are used. Without, MKL is as fast, and a convolution, too.
WIDE = torch.backends.cpu.get_cpu_capability() == "AVX512"
# Below so many multiplications, the time of a call is that of getting there.
_MIN_MULTIPLICATIONS = 2**22

_onednn = None
if torch.backends.mkldnn.is_available():
    # Inductor's operator for a linear layer; None where a version of PyTorch lacks it.
    _onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def runs_onednn(multiplications: int, *factors: Tensor) -> bool:
    """Return whether oneDNN computes a :func:`product`.

    Args:
        multiplications: How many it needs.
        factors: What it multiplies, or tensors of the same device and type.
    """
    return (
        _onednn is not None
        and multiplications >= _MIN_MULTIPLICATIONS
        and all(t.device.type == "cpu" and t.dtype == torch.float32 for t in factors)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and is_on("product")
    )


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``a @ b.T``, plus a bias.

    Equals ``torch.nn.functional.linear`` up to rounding. Not differentiable.

    Args:
        a: ``(M, S)``; copied if it is not contiguous.
        b: ``(N, S)``; copied if neither it nor its transpose has the elements of a row in sequence.
        bias: ``(N,)``, or None.

    Returns:
        ``(M, N)``.
    """
    if not runs_onednn(a.numel() * len(b), a, b):
        return F.linear(a, b, bias)
    assert _onednn is not None
    # Rows or columns one after the other; oneDNN refuses those that overlap, as repeated ones do.
    if not any(t.stride(1) == 1 and t.stride(0) >= t.shape[1] for t in (b, b.T)):
        b = b.contiguous()
    result: Tensor = _onednn(a, b, bias, "none", [], "")
    return result


def batch_product(a: Tensor, b: Tensor, out: Tensor, add: bool = False) -> Tensor:
    """Return ``a @ b.mT`` of many pairs of matrices.

    Equals ``torch.bmm(a, b.mT)`` up to rounding. Not differentiable.

    Args:
        a: ``(P, M, S)``.
        b: ``(P, N, S)``.
        out: Memory for the ``(P, M, N)`` result.
        add: Whether the result is added to what ``out`` holds.
    """
    if not WIDE or not runs_onednn(a[0].numel() * b.shape[1], a, b):
        return torch.baddbmm(out, a, b.mT, beta=int(add), out=out)
    for one, left, right in zip(out, a, b, strict=True):
        # While it is in the cache: all of them in one tensor would have to be read again.
        if add:
            one += product(left, right)
        else:
            one.copy_(product(left, right))
    return out
