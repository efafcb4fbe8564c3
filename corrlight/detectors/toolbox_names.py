"""Parameter names of the toolbox's checkpoints: declared once a detector, read both ways.

A table is a sequence of rules, pairs of name templates (theirs, ours). ``{i}`` and ``{j}`` stand
for a number, ``{p}`` for the rest of a name and ``{cls|reg}`` for one of these words; both sides of
a rule have the same ones. A third item, "2.x" or "3.x", restricts a rule to the names that this
version writes; both are read.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeVar, get_args

__all__ = [
    "NameRule",
    "NameTable",
    "ToolboxVersion",
    "from_toolbox_names",
    "rename",
    "to_toolbox_names",
]

ToolboxVersion = Literal["2.x", "3.x"]
NameRule = tuple[str, str] | tuple[str, str, str]
NameTable = tuple[NameRule, ...]

Value = TypeVar("Value")

_PLACE = re.compile(r"\{([^{}]+)\}")
_VALUES = {"i": r"\d+", "j": r"\d+", "p": ".+"}


@functools.cache
def _pattern(template: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """Return the expression that a template stands for, and its placeholders in order.

    Raises:
        ValueError: A placeholder that is unknown or comes twice.
    """
    places = tuple(_PLACE.findall(template))
    if len({*places}) < len(places) or not all("|" in p or p in _VALUES for p in places):
        raise ValueError(
            "Expected a template with each of {i}, {j}, {p} and alternatives {a|b} at most once, "
            f"but got '{template}'."
        )
    literals = [re.escape(part) for part in _PLACE.split(template)[::2]]
    values = [f"({_VALUES.get(place, place)})" for place in places]
    return re.compile("".join(_alternate(literals, values))), places


def _alternate(literals: Sequence[str], values: Sequence[str]) -> Iterable[str]:
    for literal, value in zip(literals, [*values, ""], strict=True):
        yield literal
        yield value


def _renamed(name: str, source: str, target: str) -> str | None:
    """Return what ``target`` makes of a name that fits ``source``, or None if it does not fit."""
    pattern, places = _pattern(source)
    if {*places} != {*_pattern(target)[1]}:
        raise ValueError(
            f"Expected the same placeholders on both sides of a rule, but got '{source}' and "
            f"'{target}'."
        )
    match = pattern.fullmatch(name)
    if match is None:
        return None
    values = dict(zip(places, match.groups(), strict=True))
    return _PLACE.sub(lambda place: values[place[1]], target)


def rename(
    name: str,
    rules: Sequence[NameRule],
    to: Literal["ours", "theirs"],
    version: ToolboxVersion = "3.x",
) -> str | None:
    """Return a parameter's name on the other side; the first rule that fits counts.

    Args:
        name: Theirs or ours.
        rules: The detector's table.
        to: Whose name is wanted.
        version: Whose of their names, where versions differ; only with ``to="theirs"``.

    Returns:
        The name, or None if no rule fits.

    Raises:
        ValueError: A rule that is not a pair of templates with the same placeholders.
    """
    for theirs, ours, *only in rules:
        if only and only[0] not in get_args(ToolboxVersion):
            raise ValueError(
                f"Expected the version of a rule to be '2.x' or '3.x', but got {only[0]!r}."
            )
        if to == "ours":
            found = _renamed(name, theirs, ours)
        else:
            found = _renamed(name, ours, theirs) if not only or only[0] == version else None
        if found is not None:
            return found
    return None


def _rename_all(
    state: Mapping[str, Value],
    rules: Sequence[NameRule],
    to: Literal["ours", "theirs"],
    version: ToolboxVersion,
) -> dict[str, Value]:
    result: dict[str, Value] = {}
    for name, tensor in state.items():
        found = rename(name, rules, to, version)
        if found is None:
            raise ValueError(f"Expected `state` to hold known names, but got '{name}'.")
        if found in result:
            raise ValueError(f"Expected `rules` to keep names apart, but two become '{found}'.")
        result[found] = tensor
    return result


def from_toolbox_names(state: Mapping[str, Value], rules: Sequence[NameRule]) -> dict[str, Value]:
    """Return a state dict under our names.

    Args:
        state: Tensors, or anything else, under the toolbox's names, of either version.
        rules: The detector's table.

    Returns:
        The same, renamed.

    Raises:
        ValueError: A name fits no rule, or two names become the same.
    """
    return _rename_all(state, rules, "ours", "3.x")


def to_toolbox_names(
    state: Mapping[str, Value], rules: Sequence[NameRule], version: ToolboxVersion = "3.x"
) -> dict[str, Value]:
    """Return a state dict under the toolbox's names, the inverse of :func:`from_toolbox_names`.

    Args:
        state: Tensors, or anything else, under our names.
        rules: The detector's table.
        version: Which of the toolbox's names, where they differ.

    Returns:
        The same, renamed.

    Raises:
        ValueError: A name fits no rule, two names become the same, or ``version`` is unknown.
    """
    if version not in get_args(ToolboxVersion):
        raise ValueError(f"Expected `version` to be '2.x' or '3.x', but got {version!r}.")
    return _rename_all(state, rules, "theirs", version)
