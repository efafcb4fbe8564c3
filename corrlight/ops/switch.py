"""The switch of the fast CPU code: everything at once, or operator by operator."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["OPERATORS", "VARIABLE", "fast_ops", "is_on", "operators_on", "set_fast_cpu"]

# Each is a module of this folder, which says what it equals.
OPERATORS = (
    "adam",
    "allocator",
    "conv_norm",
    "deform_conv",
    "dropout",
    "linear",
    "product",
    "pyramid_conv",
    "roi_align",
    "sample_levels",
    "small_conv",
)
VARIABLE = "CORRLIGHT_FAST_CPU"

# None until somebody asks: importing the package reads nothing and raises nothing.
_on: frozenset[str] | None = None


def operators_on() -> tuple[str, ...]:
    """Return the names of the operators that are on, in alphabetical order.

    Raises:
        ValueError: The environment variable names an operator that there is not.
    """
    global _on
    if _on is None:
        _on = _of_environment()
    return tuple(sorted(_on))


def is_on(name: str) -> bool:
    """Return whether an operator runs by its fast code; otherwise PyTorch's own runs.

    Args:
        name: One of ``OPERATORS``.

    Raises:
        ValueError: As for :func:`operators_on`.
    """
    assert name in OPERATORS, name
    return name in (operators_on() if _on is None else _on)


def set_fast_cpu(enabled: bool) -> None:
    """Turn all operators off, or on those that the environment variable leaves on.

    ``CORRLIGHT_FAST_CPU`` is 1 or unset for all of them, 0 for none, or names those that are on,
    separated by commas.

    Args:
        enabled: The option ``fast_cpu`` of a run.

    Raises:
        ValueError: As for :func:`operators_on`.
    """
    global _on
    allowed = _of_environment()
    _on = allowed if enabled else frozenset()


@contextmanager
def fast_ops(names: Iterable[str]) -> Iterator[None]:
    """Have exactly these operators on inside a ``with`` block, in all threads.

    The setting of the C library (``allocator``) cannot be taken back in a process that has it.

    Args:
        names: Of ``OPERATORS``; none turns all off.

    Raises:
        ValueError: One is not an operator.
    """
    global _on
    before, _on = _on, _checked(names, "names")
    try:
        yield
    finally:
        _on = before


def _of_environment() -> frozenset[str]:
    value = os.environ.get(VARIABLE, "1").strip()
    if value in ("", "0", "1"):
        return frozenset(() if value == "0" else OPERATORS)
    return _checked((part.strip() for part in value.split(",")), VARIABLE)


def _checked(names: Iterable[str], argument: str) -> frozenset[str]:
    chosen = frozenset(names)
    if unknown := sorted(chosen - {*OPERATORS}):
        raise ValueError(
            f"Expected `{argument}` to be 0, 1 or names of {', '.join(OPERATORS)}, "
            f"but got {', '.join(map(repr, unknown))}."
        )
    return chosen
