"""How the ranking losses weigh classification against localisation by themselves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from corrlight.arguments import check_number

__all__ = ["EpochBalance", "balance_to"]


def balance_to(loss: Tensor, value: Tensor) -> Tensor:
    """Return ``loss`` scaled so that it equals ``value``; only its gradient's direction remains.

    The self-balance of Rank & Sort (Oksuz et al., 2021, Eq. 12): the box loss is given the value of
    the classification loss in every step.

    Deviation: the published code divides by a box loss of 0; here that stays 0.

    Args:
        loss: Scalar >= 0.
        value: Scalar, taken as a constant.

    Returns:
        Scalar.

    Example:
        >>> balance_to(torch.tensor(0.5), torch.tensor(2.0))
        tensor(2.)
    """
    constant = loss.detach()
    ratio = value.detach() / torch.where(constant > 0, constant, 1)
    return loss * torch.where(constant > 0, ratio, 0)


class EpochBalance(nn.Module):
    """The self-balance of aLRP (Oksuz et al., 2020): a weight of the localisation part.

    Every ``period`` updates the weight becomes (localisation + classification) / localisation of
    the means since the last time. Its state is in the checkpoint.

    Args:
        initial: The weight until then.
        period: Updates between two changes; the published 3665 are an epoch of COCO with a batch
            of 32.
    """

    weight: Tensor
    sums: Tensor
    updates: Tensor

    def __init__(self, initial: float = 50.0, period: int = 3665) -> None:
        super().__init__()
        if isinstance(period, bool) or not isinstance(period, int) or period < 1:
            raise ValueError(f"Expected `period` to be an integer >= 1, but got {period!r}.")
        self.period = period
        initial = check_number("initial", initial)
        self.register_buffer("weight", torch.tensor(initial, dtype=torch.float64))
        self.register_buffer("sums", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, classification: Tensor, localisation: Tensor) -> None:
        """Count one step; the values must be equal on every rank."""
        self.sums += torch.stack([classification, localisation]).to(self.sums)
        self.updates += 1
        if int(self.updates) % self.period == 0:
            # Without any localisation error there is nothing to weigh.
            if float(self.sums[1]) > 0:
                self.weight.copy_(self.sums.sum() / self.sums[1])
            self.sums.zero_()
