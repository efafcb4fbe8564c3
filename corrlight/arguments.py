"""Checks of arguments that many parts have alike; each names the argument that is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["check_at_least", "check_choice", "check_number", "check_share"]


def check_at_least(low: int, **values: float) -> None:
    """Check that numbers reach a smallest one.

    Args:
        low: The smallest.
        **values: Argument names and what they are.

    Raises:
        ValueError: One is below.

    Example:
        >>> check_at_least(1, num_classes=0)
        Traceback (most recent call last):
        ValueError: Expected `num_classes` to be at least 1, but got 0.
    """
    for name, value in values.items():
        if value < low:
            raise ValueError(f"Expected `{name}` to be at least {low}, but got {value!r}.")


def check_choice(name: str, value: object, choices: Sequence[str | None]) -> None:
    """Check that an option is one of those that there are.

    Args:
        name: Of the argument.
        value: What it is.
        choices: What it may be.

    Raises:
        ValueError: It is none of them; they are listed.
    """
    if not isinstance(value, str | None) or value not in choices:
        listed = ", ".join(repr(c) for c in choices)
        raise ValueError(f"Expected `{name}` to be one of {listed}, but got {value!r}.")


def check_number(name: str, value: object, *, above: float | None = None) -> float:
    """Return a number that is finite and not negative.

    Args:
        name: Of the argument.
        value: What it is.
        above: What it must be larger than, instead of not negative.

    Raises:
        ValueError: It is not.
    """
    expected = "a finite number >= 0" if above is None else f"a finite number > {above:g}"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number:
        result = float(value)  # type: ignore[arg-type]
        if math.isfinite(result) and (result >= 0 if above is None else result > above):
            return result
    raise ValueError(f"Expected `{name}` to be {expected}, but got {value!r}.")


def check_share(**values: float) -> None:
    """Check that numbers are in [0, 1].

    Raises:
        ValueError: One is not.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ValueError(f"Expected `{name}` to be in [0, 1], but got {value!r}.")
