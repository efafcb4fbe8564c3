"""Groups of positives: one correlation, one ranking each, without a loop over them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Groups"]


class Groups:
    """G consecutive groups of a ``(P,)`` vector.

    Attributes:
        sizes: ``(G,)`` int64, all > 0.

    Args:
        sizes: ``(G,)``.
        length: Their sum P.
    """

    def __init__(self, sizes: Tensor, length: int) -> None:
        self.sizes, self.length = sizes, length
        self._index: Tensor | None = None
        if len(sizes) > 1:
            numbers = torch.arange(len(sizes), device=sizes.device)
            self._index = numbers.repeat_interleave(sizes, output_size=length)

    @classmethod
    def whole(cls, values: Tensor) -> Groups:
        """Return the one group of all ``(P,)`` values."""
        return cls(torch.tensor([values.numel()], device=values.device), values.numel())

    @classmethod
    def of(cls, labels: Tensor) -> tuple[Groups, Tensor]:
        """Return the groups of ``(P,)`` integer labels and the order that makes them consecutive.

        Example:
            >>> groups, order = Groups.of(torch.tensor([7, 3, 7]))
            >>> groups.sizes, order
            (tensor([1, 2]), tensor([1, 0, 2]))
        """
        order = labels.argsort(stable=True)
        sizes = labels.unique(return_counts=True)[1]
        return cls(sizes, labels.numel()), order

    def __len__(self) -> int:
        return len(self.sizes)

    def sum(self, values: Tensor) -> Tensor:
        """Return the ``(G,)`` sums of ``(P,)`` values."""
        if self._index is None:
            return values.sum().view(1)
        return values.new_zeros(len(self)).index_add(0, self._index, values)

    def mean(self, values: Tensor) -> Tensor:
        """Return the ``(G,)`` means of ``(P,)`` values."""
        return self.sum(values) / self.sizes

    def max(self, values: Tensor) -> Tensor:
        """Return the ``(G,)`` maxima of ``(P,)`` values; ties share the gradient."""
        if self._index is None:
            return values.amax().view(1)
        return values.new_zeros(len(self)).scatter_reduce(
            0, self._index, values, "amax", include_self=False
        )

    def spread(self, per_group: Tensor) -> Tensor:
        """Return ``(G,)`` numbers in a shape that goes with ``(P,)`` values."""
        return per_group if self._index is None else per_group.index_select(0, self._index)

    def centred(self, values: Tensor) -> Tensor:
        """Return ``(P,)`` values less the mean of their group."""
        return values - self.spread(self.mean(values))

    def split(self, values: Tensor) -> tuple[Tensor, ...]:
        """Return the ``(P,)`` values of every group."""
        return values.split(self.sizes.tolist())
