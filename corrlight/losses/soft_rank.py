"""Differentiable ranks (Blondel et al., 2020), native or by torchsort."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from corrlight.arguments import check_choice, check_number
from corrlight.losses.groups import Groups
from corrlight.losses.isotonic import isotonic_blocks, isotonic_regression
from corrlight.losses.reduction import in_full_precision

__all__ = ["Backend", "is_affine_soft_rank", "soft_rank"]

Backend = Literal["native", "torchsort"]
Array = npt.NDArray[Any]


def soft_rank(
    values: Tensor,
    regularization_strength: float = 1.0,
    backend: Backend = "native",
    groups: Tensor | None = None,
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
        groups: ``(n,)`` integers, such as image or level indices; ``(n,)`` values are then ranked
            within their group. Native only.

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
    if torch.compiler.is_compiling():
        # Compiled graphs call it as it is: SciPy and the sizes of blocks cannot be traced. Outside
        # of them this detour would cost a third of the time.
        return torch.compiler.disable(soft_rank)(values, regularization_strength, backend, groups)
    if backend != "native":
        check_choice("backend", backend, get_args(Backend))
    strength = check_number("regularization_strength", regularization_strength, above=0)
    if values.ndim == 0 or not values.is_floating_point():
        raise ValueError(
            "Expected `values` to be a floating-point tensor (..., n), "
            f"but got shape {tuple(values.shape)} and {values.dtype}."
        )
    values = in_full_precision(values)
    if groups is not None:
        _check_groups(groups, values, backend)
    if values.numel() == 0:
        return values.clone()
    if groups is not None:
        members, order = Groups.of(groups)
        ranks = _SoftRank.apply(values[order], strength, False, members.sizes)
        return torch.empty_like(ranks).index_copy(0, order, ranks)
    rows = values if values.ndim == 2 else values.reshape(-1, values.shape[-1])
    if backend == "torchsort":
        check_finite("values", values)
        ranks = _torchsort()(rows, regularization_strength=strength)
    else:
        ranks = _SoftRank.apply(rows, strength, False, None)
    return ranks if values.ndim == 2 else ranks.view(values.shape)


def centred_soft_rank(values: Tensor, strength: float, groups: Groups) -> Tensor:
    """Return soft ranks minus (n + 1) / 2 of ``(P,)`` finite values within their groups of n.

    Where the ranks are affine this is the centred input itself: a mean rank in the thousands, added
    and subtracted again, would cost half of the digits.
    """
    if torch.compiler.is_compiling():
        return torch.compiler.disable(centred_soft_rank)(values, strength, groups)
    if len(groups) == 1:
        return _SoftRank.apply(values[None], strength, True, None).squeeze(0)
    return _SoftRank.apply(values, strength, True, groups.sizes)


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
    """Soft ranks, plain or centred, of ``(R, n)`` rows or of a ``(P,)`` vector's groups."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, strength: float, centred: bool, sizes: Tensor | None
    ) -> Tensor:
        rows = _ArrayRows if values.device.type == "cpu" else _TensorRows
        ctx.rows, ranks = rows.rank(values.detach(), strength, centred, sizes)
        ctx.strength = strength
        return ranks

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.rows.deviations(grad_output.detach(), ctx.strength), None, None, None


def _overflow(strength: float) -> ValueError:
    return ValueError(
        "Expected `regularization_strength` to suit the range of the values, "
        f"but {strength!r} overflows."
    )


class _ArrayRows:
    """Order and blocks of rows on CPU, as flat NumPy arrays."""

    def __init__(self, order: Array, starts: Array, sizes: Array) -> None:
        self.order, self.starts, self.sizes = order, starts, sizes

    @classmethod
    def rank(
        cls, values: Tensor, strength: float, centred: bool, sizes: Tensor | None = None
    ) -> tuple[_ArrayRows, Tensor]:
        """Return the structure of ``(R, n)`` rows and their soft ranks.

        With ``sizes``, the rows are consecutive groups of ``(P,)`` values instead.
        """
        x = values.numpy()
        if sizes is None:
            num_rows, n = x.shape
            order = x.argsort(1)
            if num_rows > 1:
                order += np.arange(0, num_rows * n, n)[:, None]
            order = order.ravel()
            lengths: Array | int = n
            ends = np.arange(0, num_rows * n + 1, n)
        else:
            lengths = sizes.numpy()
            num_rows = len(lengths)
            ends = np.concatenate([[0], lengths.cumsum()])
            order = np.lexsort((x, np.repeat(np.arange(num_rows), lengths)))
        t = x.ravel()[order].astype(np.float64)
        first, last = t[ends[:-1]], t[ends[1:] - 1]
        # NaN is sorted to the end, so the ends tell about all.
        if not np.isfinite(last - first).all():
            check_finite("values", values)
            raise _overflow(strength)
        # Differences to the smallest value: ranks ignore a shift, rounding does not.
        t -= np.repeat(first, lengths) if num_rows > 1 else first[0]
        if not math.isfinite(float(t[ends[1:] - 1].max()) / strength):
            raise _overflow(strength)
        t /= strength
        rising = np.arange(1, t.size + 1)  # from row to row as well: a fit ignores a shift
        if num_rows == 1:
            bounds = isotonic_blocks(t - rising)
            starts = bounds[:-1]
            block_sizes = bounds[1:] - starts
            row_starts, row_lengths = ends[:1], ends[1:]
        else:
            # The one loop over rows, of calls of a compiled function.
            below = t - rising
            parts = [
                isotonic_blocks(below[a:b])[:-1] + a for a, b in itertools.pairwise(ends.tolist())
            ]
            starts = np.concatenate(parts)
            block_sizes = np.diff(starts, append=t.size)
            num_blocks = [len(part) for part in parts]
            row_starts = np.repeat(ends[:-1], num_blocks)
            row_lengths = np.repeat(np.diff(ends), num_blocks)
        # v is the block's mean of t less that of 1, ..., n, so t - v is a sum of small terms.
        centres = (starts - row_starts) + (block_sizes - row_lengths) / 2
        if not centred:
            centres += (row_lengths + 1) / 2
        rows = cls(order, starts, block_sizes)
        return rows, rows._in_place(rows._less_means(t, centres), values)

    def deviations(self, gradient: Tensor, strength: float) -> Tensor:
        """Return ``(R, n)`` gradients less the means of their blocks, over the strength."""
        g = gradient.numpy().ravel()[self.order].astype(np.float64)
        return self._in_place(self._less_means(g, 0.0) / strength, gradient)

    def _less_means(self, flat: Array, plus: Array | float) -> Array:
        """Return flat values less the means of their blocks, plus a number per block."""
        # Relative to the block's first member, so that ties give exact zeros.
        if len(self.starts) == 1:
            relative = flat - flat[0]
            relative -= relative.mean() - plus
            return relative
        relative = flat - np.repeat(flat[self.starts], self.sizes)
        means = np.add.reduceat(relative, self.starts) / self.sizes
        relative -= np.repeat(means - plus, self.sizes)
        return relative

    def _in_place(self, flat: Array, like: Tensor) -> Tensor:
        result = torch.empty(like.shape, dtype=like.dtype)
        result.numpy().ravel()[self.order] = flat
        return result


class _TensorRows:
    """Order and blocks of rows on any device; groups are rows padded to one length."""

    def __init__(self, order: Tensor, fitted: Tensor, members: Tensor | None) -> None:
        self.order, self.members = order, members
        # Members of a block share one bit pattern, so a change of value starts the next one.
        is_start = torch.ones_like(fitted, dtype=torch.bool)
        is_start[:, 1:] = fitted[:, 1:] != fitted[:, :-1]
        self.block = is_start.view(-1).cumsum(0) - 1  # (R n,)
        positions = torch.arange(fitted.numel(), device=fitted.device)
        # Every member writes the position of its block's start: the last start up to it.
        self.start = torch.where(is_start.view(-1), positions, 0).cummax(0).values
        # A place for every block that there could be: only the device knows how many there are.
        ones = torch.ones_like(fitted).view(-1)
        self.sizes = torch.zeros_like(ones).index_add_(0, self.block, ones).clamp(min=1)

    @classmethod
    def rank(
        cls, values: Tensor, strength: float, centred: bool, sizes: Tensor | None = None
    ) -> tuple[_TensorRows, Tensor]:
        """Return the structure of ``(R, n)`` rows and their soft ranks.

        With ``sizes``, the rows are consecutive groups of ``(P,)`` values instead.
        """
        table, members = values, None
        if sizes is not None:
            shape = len(sizes), int(sizes.max())
            members = _places(sizes, shape[1], values.numel())
            table = _padded(values, members, shape, float("inf"))
        num_rows, n = table.shape
        lengths = values.new_full((num_rows, 1), n) if sizes is None else sizes[:, None]
        ordered, order = table.sort(1)
        t = (_widened(ordered) - _widened(ordered[:, :1])) / strength
        # NaN is sorted to the end, so the end tells about all; the one time the device is awaited.
        # Padding is sorted there too, but NaN and infinity beyond it shorten the finite part.
        if not bool((t.isfinite().sum(1, keepdim=True) == lengths).all()):
            check_finite("values", values)
            raise _overflow(strength)
        steps = torch.arange(1, n + 1, device=t.device, dtype=t.dtype)
        t = t.where(steps <= lengths, 0)  # the padding was infinite
        below = t - steps
        # Padding rises above every value, so it is never pooled with one.
        padding = below.amax(1, keepdim=True).abs() + steps
        rows = cls(order, isotonic_regression(below.where(steps <= lengths, padding)), members)
        # v is the block's mean of t less that of 1, ..., n. Counted from the middle of the ranks,
        # all terms of t - v are small, and so is what rounding costs.
        middle = (lengths + 1) / 2
        centred_steps = (steps - middle).expand(num_rows, n)
        ranks = rows._less_means(t) + rows._means(centred_steps.reshape(-1)).view(num_rows, n)
        return rows, rows._in_place(ranks if centred else ranks + middle, values)

    def deviations(self, gradient: Tensor, strength: float) -> Tensor:
        """Return gradients, in the shape of the values, less block means, over the strength."""
        table = gradient
        if self.members is not None:
            table = _padded(gradient, self.members, self.order.shape, 0.0)
        g = _widened(table.gather(1, self.order))
        return self._in_place(self._less_means(g) / strength, gradient)

    def _means(self, flat: Tensor) -> Tensor:
        sums = torch.zeros_like(self.sizes).index_add_(0, self.block, flat)
        return (sums / self.sizes)[self.block]

    def _less_means(self, values: Tensor) -> Tensor:
        flat = values.reshape(-1)
        relative = flat - flat[self.start]
        return (relative - self._means(relative)).view(values.shape)

    def _in_place(self, ordered: Tensor, like: Tensor) -> Tensor:
        table = torch.empty_like(ordered).scatter_(1, self.order, ordered).to(like.dtype)
        return table if self.members is None else table.view(-1)[self.members]


def _places(sizes: Tensor, width: int, length: int) -> Tensor:
    """Return where each of ``(P,)`` members of groups lies in rows of that width, flattened."""
    rows = torch.arange(len(sizes), device=sizes.device)
    rows = rows.repeat_interleave(sizes, output_size=length)
    first = sizes.cumsum(0) - sizes
    return torch.arange(length, device=sizes.device) - first[rows] + rows * width


def _padded(values: Tensor, places: Tensor, shape: tuple[int, ...], padding: float) -> Tensor:
    return values.new_full(shape, padding).view(-1).index_copy_(0, places, values).view(shape)


def _widened(values: Tensor) -> Tensor:
    return values if values.device.type == "mps" else values.double()


def _check_groups(groups: Tensor, values: Tensor, backend: str) -> None:
    if values.ndim != 1 or groups.shape != values.shape or groups.is_floating_point():
        raise ValueError(
            "Expected `groups` to be integers, one for each of (n,) values, "
            f"but got {groups.dtype} of shape {tuple(groups.shape)} for {tuple(values.shape)}."
        )
    if backend != "native":
        raise ValueError(f"Expected `backend` to be 'native' with `groups`, but got {backend!r}.")


def check_finite(name: str, values: Tensor) -> None:
    values = values.detach()
    # The ends tell about all, NaN included, in one pass and without a mask.
    if values.numel() and not bool(torch.stack(values.aminmax()).isfinite().all()):
        count = int((~values.isfinite()).sum())
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
