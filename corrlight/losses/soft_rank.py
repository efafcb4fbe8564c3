"""Differentiable ranks (Blondel et al., 2020), native or by torchsort."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from corrlight.losses.isotonic import isotonic_regression
from corrlight.losses.reduction import check_choice, check_number, in_full_precision

__all__ = ["Backend", "is_affine_soft_rank", "soft_rank"]

Backend = Literal["native", "torchsort"]


# Compiled graphs call it as it is: SciPy and the sizes of blocks cannot be traced.
@torch.compiler.disable
def soft_rank(
    values: Tensor, regularization_strength: float = 1.0, backend: Backend = "native"
) -> Tensor:
    r"""Return differentiable ascending ranks, 1 for the smallest (Blondel et al., 2020, Eq. 5).

    The Euclidean projection of ``values / regularization_strength`` on the convex hull of the
    permutations of (1, ..., n): :math:`r = t - v` for ascending :math:`t`, where :math:`v` is the
    isotonic regression of :math:`t_i - i`. The gradient takes the mean of its block off each
    member. Ties share one rank. With a strength of 2 (max - min) / n or more there is one block:
    the ranks are ``values / strength`` shifted to the mean (n + 1) / 2, no ranking at all.

    Args:
        values: ``(..., n)``, any n; rows are ranked independently.
        regularization_strength: Towards 0 the ranks become exact and their gradient vanishes; > 0.
        backend: 'native', or 'torchsort' if that package is installed.

    Returns:
        ``(..., n)`` ranks in the dtype of ``values`` (float32 for half precisions), computed in
        float64 by the native backend where the device has it.

    Raises:
        ValueError: For NaN or infinite values, with their number, and for unknown options.
        ImportError: For 'torchsort' where it is not installed.

    Example:
        >>> soft_rank(torch.tensor([0.3, 0.1, 0.2]), regularization_strength=0.01)
        tensor([3., 1., 2.])
    """
    check_choice("backend", backend, get_args(Backend))
    strength = check_number("regularization_strength", regularization_strength, above=0)
    if values.ndim == 0 or not values.is_floating_point():
        raise ValueError(
            "Expected `values` to be a floating-point tensor (..., n), "
            f"but got shape {tuple(values.shape)} and {values.dtype}."
        )
    check_finite("values", values)
    values = in_full_precision(values)
    if values.numel() == 0:
        return values.clone()
    rows = values.reshape(-1, values.shape[-1])
    if backend == "torchsort":
        # torchsort ranks n = 1 by chance of rounding; the projection is exactly 1.
        return _torchsort()(rows, regularization_strength=strength).reshape(values.shape)
    return _SoftRank.apply(rows, strength, False).reshape(values.shape)


@torch.compiler.disable
def centred_soft_rank(values: Tensor, strength: float) -> Tensor:
    """Return soft ranks minus (n + 1) / 2 of ``(n,)`` finite values.

    Where the ranks are affine this is the centred input itself: a mean rank in the thousands, added
    and subtracted again, would cost half of the digits.
    """
    return _SoftRank.apply(values[None], strength, True).squeeze(0)


def is_affine_soft_rank(values: Tensor, regularization_strength: float) -> bool:
    """Return whether the soft ranks of ``(n,)`` values surely are an affine map of them.

    That is so for strength >= 2 (max - min) / n: one isotonic block. A correlation of such ranks is
    the Pearson correlation of the values.

    Example:
        >>> is_affine_soft_rank(torch.tensor([0.0, 0.5, 1.0]), 1.0)
        True
    """
    if values.numel() < 2:
        return True
    spread = float(values.detach().max() - values.detach().min())
    return regularization_strength >= 2 * spread / values.numel()


class _SoftRank(torch.autograd.Function):
    """Soft ranks of ``(R, n)`` rows, plain or centred."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, strength: float, centred: bool) -> Tensor:
        n = values.shape[1]
        ordered, order = values.sort(1)
        # Differences to the smallest value: ranks ignore a shift, rounding does not.
        t = (_widened(ordered) - ordered[:, :1]) / strength
        w = torch.arange(1, n + 1, device=t.device, dtype=t.dtype)
        if not bool(t[:, -1].isfinite().all()):
            raise ValueError(
                "Expected `regularization_strength` to suit the range of the values, "
                f"but {strength!r} overflows."
            )
        fitted = isotonic_regression(t - w)
        blocks = _Blocks(fitted)
        # t - v, as sums of small terms: v is the block's mean of t less its mean of w.
        ranks = (t - blocks.means(t)) + blocks.means((w - (n + 1) / 2).expand_as(t))
        if not centred:
            ranks += (n + 1) / 2
        ctx.save_for_backward(order)
        ctx.blocks, ctx.strength = blocks, strength
        return torch.empty_like(values).scatter_(1, order, ranks.to(values.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        (order,) = ctx.saved_tensors
        g = _widened(grad_output.gather(1, order))
        g = (g - ctx.blocks.means(g)) / ctx.strength
        return torch.empty_like(grad_output).scatter_(1, order, g.to(grad_output.dtype)), None, None


class _Blocks:
    """Runs of equal neighbours in ``(R, n)`` rows."""

    def __init__(self, fitted: Tensor) -> None:
        starts = torch.ones_like(fitted, dtype=torch.bool)
        torch.ne(fitted[:, 1:], fitted[:, :-1], out=starts[:, 1:])
        self.index = starts.view(-1).cumsum(0).sub_(1)
        self.sizes = fitted.new_zeros(fitted.numel()).index_add_(
            0, self.index, torch.ones_like(fitted).view(-1)
        )

    def means(self, values: Tensor) -> Tensor:
        """Return ``(R, n)`` values replaced by the means of their blocks."""
        sums = torch.zeros_like(self.sizes).index_add_(0, self.index, values.reshape(-1))
        return (sums / self.sizes.clamp(min=1))[self.index].view(values.shape)


def _widened(values: Tensor) -> Tensor:
    return values if values.device.type == "mps" else values.double()


def check_finite(name: str, values: Tensor) -> None:
    finite = values.detach().isfinite()
    if not bool(finite.all()):
        count = int((~finite).sum())
        raise ValueError(
            f"Expected `{name}` to be finite, but {count} of {values.numel()} are NaN or infinite."
        )


def _torchsort() -> Callable[..., Tensor]:
    try:
        import torchsort
    except ImportError as error:
        raise ImportError(
            "backend='torchsort' needs the torchsort package, which is not installed. Install it "
            "with `pip install 'corrlight[torchsort]' --no-build-isolation` (it compiles C++), or "
            "use backend='native'."
        ) from error
    return torchsort.soft_rank
