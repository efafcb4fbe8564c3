"""Matrix products of float32 on CPU by oneDNN, the library of PyTorch's convolutions.

PyTorch's own products are MKL's, which uses AVX-512 on Intel's processors alone: on others that
have it, oneDNN needs half the time. With AVX2 both take about the same.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from corrlight.ops.switch import is_on

__all__ = [
    "WIDE",
    "add_weight_gradient",
    "batch_product",
    "batch_product_backward",
    "packed",
    "product",
    "runs_onednn",
]

# Whether vectors of 512 bits are used. Without, MKL and convolutions are as fast.
WIDE = torch.backends.cpu.get_cpu_capability() == "AVX512"
# Below so many multiplications, the time of a call is that of getting there.
_MIN_MULTIPLICATIONS = 2**22

_onednn = _convolution = None
if torch.backends.mkldnn.is_available():
    # Inductor's operators for layers; None where a version of PyTorch lacks them.
    _onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    _convolution = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)


def runs_onednn(multiplications: int, *factors: Tensor) -> bool:
    """Return whether oneDNN computes a :func:`product`.

    Args:
        multiplications: How many it needs.
        factors: What it multiplies, or tensors of the same device and type.
    """
    # First of all: where sizes are symbols, a comparison would bind the graph to its answer.
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return (
        _onednn is not None
        and multiplications >= _MIN_MULTIPLICATIONS
        and all(t.device.type == "cpu" and t.dtype == torch.float32 for t in factors)
        and not torch.is_autocast_enabled("cpu")
        and is_on("product")
    )


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``a @ b.T``, plus a bias.

    Equals ``torch.nn.functional.linear`` up to rounding. Not differentiable.

    Args:
        a: ``(M, S)``; copied if it is not contiguous.
        b: ``(N, S)``; copied if neither it nor its transpose is contiguous.
        bias: ``(N,)``, or None.

    Returns:
        ``(M, N)``.
    """
    if not runs_onednn(a.numel() * len(b), a, b):
        return F.linear(a, b, bias)
    assert _onednn is not None
    if not (b.is_contiguous() or b.T.is_contiguous()):
        # oneDNN refuses rows that overlap, and those with gaps take it a thousand times as long.
        b = b.contiguous()
    result: Tensor = _onednn(a, b, bias, "none", [], "")
    return result


def packed(b: Tensor, num_rows: int) -> Tensor:
    """Return matrices in the layout in which :func:`batch_product` takes them fastest.

    It takes as long as it gains: it is for matrices that stay the same.

    Args:
        b: ``(P, N, S)``.
        num_rows: Rows M that each is going to be multiplied with. For other numbers the layout can
            be another one; this one would then cost ten times what it gains.

    Returns:
        The same in a layout of oneDNN's, or as they are.
    """
    num, out, inner = b.shape
    if not _convolves(num_rows, b):
        return b
    kernel = b.reshape(num * out, inner, 1, 1).to_mkldnn()
    size = [1, num * inner, 1, num_rows]
    pack: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
    result: Tensor = pack(kernel, [0, 0], [1, 1], [1, 1], num, size)
    return result


def batch_product(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a @ b.mT`` of many pairs of matrices.

    Equals ``torch.bmm(a, b.mT)`` up to rounding. Not differentiable. A convolution with as many
    groups is the one way to oneDNN that takes all pairs in one call.

    Args:
        a: ``(P, M, S)``.
        b: ``(P, N, S)``, or the same as :func:`packed` gives it for M rows.

    Returns:
        ``(P, M, N)``.
    """
    num, rows, inner = a.shape
    if not (b.is_mkldnn or _convolves(rows, b)):
        return torch.bmm(a, b.mT)
    assert _convolution is not None
    kernel = b if b.is_mkldnn else b.reshape(-1, inner, 1, 1)
    geometry = ([0, 0], [1, 1], [1, 1], num)
    return _from_map(_convolution(_as_map(a), kernel, None, *geometry, "none", [], ""), a)


def batch_product_backward(grad: Tensor, b: Tensor) -> Tensor:
    """Return ``grad @ b`` of many pairs of matrices, the gradient of ``a``.

    Args:
        grad: ``(P, M, N)``, the gradient of what :func:`batch_product` returns.
        b: ``(P, N, S)``, not packed.

    Returns:
        ``(P, M, S)``.
    """
    num, rows, _ = grad.shape
    inner = b.shape[2]
    # Unlike forwards, where packed matrices and plain ones have to give the same bits, MKL may take
    # what it computes as fast.
    if not (WIDE and _convolves(rows, b)):
        return torch.bmm(grad, b)
    rows_of_grad = _as_map(grad)
    # Of the input, only the shape is looked at.
    like = rows_of_grad
    if inner != grad.shape[2]:
        like = grad.new_empty(1, 1, rows, num * inner).permute(0, 3, 1, 2)
    kernel = b.reshape(-1, inner, 1, 1)
    geometry = ([1, 1], [0, 0], [1, 1], False, [0, 0], num)
    result, _, _ = torch.ops.aten.convolution_backward(
        rows_of_grad, like, kernel, None, *geometry, [True, False, False]
    )
    del rows_of_grad, like
    return _from_map(result, grad)


def add_weight_gradient(total: Tensor, grad: Tensor, a: Tensor, first: bool) -> None:
    """Add ``grad.mT @ a``, the gradient of ``b``, to what other rows have given.

    Args:
        total: ``(P, N, S)``; overwritten by the first rows.
        grad: ``(P, M, N)``, the gradient of what :func:`batch_product` returns.
        a: ``(P, M, S)``.
        first: Whether there is nothing in ``total`` yet.
    """
    # One by one, as oneDNN's convolutions take five times as long for this product; each result is
    # copied, which twice as many multiplications as elsewhere are worth.
    if not (WIDE and runs_onednn(grad[0].numel() * a.shape[2] // 2, grad, a)):
        total.baddbmm_(grad.mT, a, beta=int(not first))
        return
    for own, left, right in zip(total, grad.mT.contiguous(), a, strict=True):
        found = product(left, right.T)
        if first:
            own.copy_(found)
        else:
            own += found


def _as_map(a: Tensor) -> Tensor:
    """Return ``(P, M, S)`` as the channels-last map ``(1, P * S, 1, M)`` of a convolution."""
    rows = a.transpose(0, 1).contiguous()
    return rows.view(1, 1, len(rows), -1).permute(0, 3, 1, 2)


def _from_map(result: Tensor, like: Tensor) -> Tensor:
    """Return a map ``(1, P * N, 1, M)`` as ``(P, M, N)``, P and M those of ``like``."""
    num, rows = like.shape[:2]
    return result.permute(0, 2, 3, 1).reshape(rows, num, -1).transpose(0, 1).contiguous()


def _convolves(num_rows: int, b: Tensor) -> bool:
    return _convolution is not None and runs_onednn(num_rows * b.numel(), b)
