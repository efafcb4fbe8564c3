"""What a reader of annotation files returns, and the ledger of what it could not take over."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corrlight.datasets.outlines import Shape

__all__ = [
    "Annotation",
    "Content",
    "Ledger",
    "Picture",
    "ReadOptions",
    "RecordError",
    "Tally",
    "entry",
    "number",
    "pairs",
]

# Coordinates beyond this are damaged numbers; it also excludes NaN and infinity.
_MAX_NUMBER = 1e9


class RecordError(ValueError):
    """A record that cannot be read; the message says why, the ledger where."""


@dataclass(slots=True, kw_only=True)
class Annotation:
    """An object in a picture.

    Attributes:
        label: Name of its class.
        shape: Box, and outline or mask where there is one.
        where: File and record, for messages.
        crowd: Whether it is a region of many (``iscrowd``).
        extra: Further keys of its COCO record, such as ``difficult``.
        identity: The id it had.
    """

    label: str
    shape: Shape
    where: str
    crowd: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    identity: int | None = None


@dataclass(slots=True, kw_only=True)
class Picture:
    """A picture and its objects.

    Attributes:
        path: The file; that of the annotations where the picture is inside.
        size: Height and width of the frame that boxes refer to.
        annotations: Its objects.
        splits: What the source calls the parts it belongs to; none if it says nothing.
        labelled: False if there are no annotations of it, not even empty ones.
        content: The bytes of a picture that lies inside of the annotation file.
        name: The name it had in a COCO file.
        extra: Further keys of its COCO record.
        identity: The id it had.
    """

    path: Path
    size: tuple[int, int]
    annotations: list[Annotation] = field(default_factory=list)
    splits: frozenset[str] = frozenset()
    labelled: bool = True
    content: bytes | None = None
    name: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    identity: int | None = None


@dataclass(slots=True, kw_only=True)
class Content:
    """All of a source.

    Attributes:
        pictures: In an order that does not depend on the file system.
        classes: The class names in the order that the source declares; empty if it does not.
        categories: COCO records of the classes, by name, where the source has such.
    """

    pictures: list[Picture]
    classes: list[str] = field(default_factory=list)
    categories: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What a reader is told.

    Attributes:
        images: Folder of the pictures; None looks below the source.
        classes: Class names in the order of their numbers, for sources that do not say.
        zero_based: Whether corners of VOC files are edges counted from 0.
        ignore_size: Whether sizes come from the pictures alone.
    """

    images: Path | None = None
    classes: tuple[str, ...] = ()
    zero_based: bool = False
    ignore_size: bool = False


@dataclass(slots=True)
class Tally:
    """How often something happened, and where first."""

    count: int
    first: str


class Ledger:
    """What was wrong, left out, changed or assumed.

    Attributes:
        problems: Records that cannot be read, one line each.
        left_out: Reason -> what was left out for it.
        changed: What was changed or assumed -> how often.
        notes: What else is worth a line.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.left_out: dict[str, Tally] = {}
        self.changed: dict[str, Tally] = {}
        self.notes: list[str] = []

    @contextmanager
    def record(self, where: str | Path) -> Iterator[None]:
        """Turn a :class:`RecordError` of the block into a problem of that place."""
        try:
            yield
        except RecordError as error:
            self.problems.append(f"{where}: {error}")

    def drop(self, reason: str, where: str | Path, count: int = 1) -> None:
        """Count something that is left out."""
        _count(self.left_out, reason, where, count)

    def change(self, what: str, where: str | Path, count: int = 1) -> None:
        """Count something that is changed or assumed."""
        _count(self.changed, what, where, count)

    def note(self, text: str) -> None:
        """Add a line to the summary, once."""
        if text not in self.notes:
            self.notes.append(text)


def _count(tallies: dict[str, Tally], key: str, where: str | Path, count: int) -> None:
    if count:
        tallies.setdefault(key, Tally(0, str(where))).count += count


def number(value: Any, name: str) -> float:
    """Return a finite number that is written as a number or as text.

    Raises:
        RecordError: It is none.
    """
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            result = float(value)
        except (ValueError, OverflowError):
            result = float("nan")
        if abs(result) < _MAX_NUMBER:
            return result
    raise RecordError(f"{name} is {reprlib.repr(value)}, not a number")


def entry(mapping: Any, key: str, kind: type | tuple[type, ...] = object) -> Any:
    """Return ``mapping[key]`` of a type.

    Raises:
        RecordError: There is no mapping, no such key, or it is of another type.
    """
    if not isinstance(mapping, Mapping) or key not in mapping:
        raise RecordError(f"{key} is missing")
    value = mapping[key]
    if not isinstance(value, kind):
        raise RecordError(f"{key} is {reprlib.repr(value)}")
    return value


def pairs(values: Any, name: str) -> list[tuple[float, float]]:
    """Return points that are written as ``[[x, y], ...]``.

    Raises:
        RecordError: They are not.
    """
    if not isinstance(values, list) or any(
        not isinstance(v, list | tuple) or len(v) != 2 for v in values
    ):
        raise RecordError(f"{name} is {reprlib.repr(values)}, not a list of points")
    return [(number(x, name), number(y, name)) for x, y in values]
