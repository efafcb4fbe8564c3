"""Parameter groups and the warm-up + multi-step schedule."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from corrlight.arguments import check_number

__all__ = ["parameter_groups", "warmup_multistep"]


def parameter_groups(
    model: nn.Module, lr: float, lr_multipliers: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Return the trainable parameters in one group for each learning rate.

    Args:
        model: Whose parameters.
        lr: Base rate.
        lr_multipliers: Factor of the rate by the name of a module or parameter, such as
            ``{"detector.backbone": 0.1}``, for all that is below it; the longest name wins. A ``*``
            stands for any part of a name, dots included.

    Raises:
        ValueError: A name without trainable parameters, a factor that is no number >= 0, or no
            trainable parameter at all.
    """
    multipliers = dict(lr_multipliers or {})
    for prefix, factor in multipliers.items():
        check_number(f"lr_multipliers.{prefix}", factor)
    unused = set(multipliers)
    by_factor: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        parts = name.split(".")
        above = [".".join(parts[: i + 1]) for i in range(len(parts))]
        matching = [p for p in multipliers if any(fnmatchcase(own, p) for own in above)]
        unused.difference_update(matching)
        factor = multipliers[max(matching, key=len)] if matching else 1.0
        by_factor.setdefault(factor, []).append(parameter)
    if unused:
        raise ValueError(
            "Expected every name in `lr_multipliers` to be a module with trainable parameters, "
            f"but {sorted(unused)} are none."
        )
    if not by_factor:
        raise ValueError("Expected a model with trainable parameters, but everything is frozen.")
    return [{"params": params, "lr": lr * factor} for factor, params in by_factor.items()]


def warmup_multistep(
    optimizer: Optimizer,
    *,
    steps_per_epoch: int,
    milestones: Sequence[float],
    gamma: float = 0.1,
    warmup_steps: int = 0,
    warmup_ratio: float = 0.001,
    epochs: int | None = None,
) -> LambdaLR:
    """Return a per-iteration schedule: linear warm-up, then a decay at each milestone.

    Args:
        optimizer: Whose rates are scaled.
        steps_per_epoch: Optimiser steps in an epoch.
        milestones: Epochs after which the rate is multiplied by ``gamma``; those below 1 are shares
            of the run.
        gamma: Decay factor.
        warmup_steps: Iterations over which the rate rises linearly to its full value; below 1 a
            share of the run.
        warmup_ratio: Fraction of the rate at iteration 0.
        epochs: Epochs of the run, which shares need.

    Raises:
        ValueError: Milestones that do not increase, or values outside their range, or a share
            without ``epochs``.
    """
    if not isinstance(milestones, Sequence) or isinstance(milestones, str):
        raise ValueError(f"Expected `milestones` to be a list of epochs, but got {milestones!r}.")
    for epoch in milestones:
        check_number("milestones", epoch, above=0)
    for name, value in (("warmup_steps", warmup_steps), ("gamma", gamma)):
        check_number(name, value)
    if any(b <= a for a, b in itertools.pairwise(milestones)):
        raise ValueError(f"Expected `milestones` to increase, but got {list(milestones)}.")
    if not 0 < warmup_ratio <= 1:
        raise ValueError(f"Expected `warmup_ratio` to be in (0, 1], but got {warmup_ratio}.")
    shares = [value for value in (*milestones, warmup_steps) if 0 < value < 1]
    if shares and epochs is None:
        raise ValueError(f"Expected `epochs` beside {shares}, which are shares of a run.")
    steps = steps_per_epoch * (epochs or 1)
    boundaries = [round(m * (steps if m < 1 else steps_per_epoch)) for m in milestones]
    if any(b < a for a, b in itertools.pairwise(boundaries)):
        raise ValueError(
            f"Expected `milestones` to increase in a run of {epochs} epochs, but got "
            f"{list(milestones)}, of which those below 1 are shares of the run."
        )
    warmup = round(warmup_steps * steps) if warmup_steps < 1 else warmup_steps

    def factor(step: int) -> float:
        decay = float(gamma ** bisect_right(boundaries, step))
        if step >= warmup:
            return decay
        return decay * (1 - (1 - step / warmup) * (1 - warmup_ratio))

    return LambdaLR(optimizer, factor)


OptimizerFactory = Callable[[Iterable[Any]], Optimizer]
SchedulerFactory = Callable[..., LambdaLR]
