"""Lists of JSON records to checked columns; every fault names the record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from corrlight.coco.findings import Example, Findings, plural, short
from corrlight.coco.types import Array
from corrlight.coco.values import floats, found_at, whole_numbers

__all__ = ["Records"]

_FLAGS = {bool, float, int}
# Stands for a key that a record has not; null is a value.
_ABSENT = object()


class Records:
    """Some records of a file.

    With ``findings`` faults are collected there and leave a placeholder in their column; without,
    the first one is an error.

    Args:
        content: The records.
        noun: What one is called in messages ("detection").
        first: Number of the first record, if it is not the file's first (counted from 0).
        findings: Where faults go.

    Raises:
        ValueError: Without ``findings``: if a record is no object.
    """

    def __init__(
        self,
        content: Sequence[Any],
        noun: str,
        first: int = 0,
        findings: Findings | None = None,
    ) -> None:
        self.content = content
        self.noun = noun
        self.first = first
        self.findings = findings
        self._objects = np.ones(len(content), dtype=bool)
        self._all_objects = set(map(type, content)) <= {dict}
        if not self._all_objects:
            self._objects = np.fromiter((isinstance(r, dict) for r in content), bool, len(content))
            wrong = np.flatnonzero(~self._objects).tolist()
            self.fault(
                *("no_object", wrong, "an object as"),
                lambda row: f"a {type(content[row]).__name__} instead of an object",
                content.__getitem__,
            )
            self.content = [r if isinstance(r, dict) else {} for r in content]

    def __len__(self) -> int:
        return len(self.content)

    def fault(
        self,
        kind: str,
        rows: Sequence[int],
        expected: str | Callable[[int], str],
        text: Callable[[int], str],
        got: Callable[[int], Any],
    ) -> None:
        """Report records; nothing happens without any.

        Args:
            kind: A key of ``KINDS``.
            rows: Which.
            expected: For "Expected ... detection number 3, but got ...", of all rows or of one.
            text: What is wrong with a row, for "annotation 17: ...".
            got: The value of a row.

        Raises:
            ValueError: If faults are errors.
        """
        # Of what is no object, nothing else is said.
        if not self._all_objects and kind != "no_object":
            rows = [row for row in rows if self._objects[row]]
        if not len(rows):
            return

        def example(number: int) -> Example:
            row = number - self.first
            value = got(row)
            return Example(
                row=number,
                name=self._title(row),
                text=text(row),
                expected=expected if isinstance(expected, str) else expected(row),
                got=str(value) if isinstance(value, _Said) else short(value),
            )

        if self.findings is None:
            found = Findings()
            found.add(kind, self.noun, [self.first + int(rows[0])], example)
            raise found[kind].error()
        self.findings.add(kind, self.noun, [self.first + int(row) for row in rows], example)

    def values(self, key: str) -> list[Any]:
        """Return the raw values of a key that every record must have; None where one has not."""
        given = [record.get(key, _ABSENT) for record in self.content]
        missing = [row for row, v in enumerate(given) if v is _ABSENT]
        if missing:
            self._absent(key, "missing", missing, f"{key} is missing")
            given = [None if v is _ABSENT else v for v in given]
        return given

    def numbers(self, key: str, kind: str, missing: float | None = None, rule: str = "") -> Array:
        """Return ``(N,)`` float64 finite numbers, NaN in place of a fault.

        Strings and booleans are no numbers.

        Args:
            key: Name of the value.
            kind: Of the fault, where one is none.
            missing: Stands for an absent or null value, if they are allowed.
            rule: What a number has to be, for messages; "a finite number" by default.
        """
        if missing is None:
            given = self.values(key)
            absent = np.array([key not in r for r in self.content], dtype=bool)
        else:
            given = [record.get(key) for record in self.content]
            absent = np.array([v is None for v in given], dtype=bool)
        array, no_number, not_finite = floats(given)
        array[absent] = np.nan if missing is None else missing

        def text(row: int) -> str:
            return f"{key} is {short(given[row])}, not {rule or 'a finite number'}"

        wrong = _rows(no_number & ~absent)
        self.fault(kind, wrong, f"a number as {key} of", text, given.__getitem__)
        self.fault(kind, _rows(not_finite), f"a finite {key} in", text, given.__getitem__)
        return array

    def boxes(self, key: str = "bbox", optional: Array | None = None) -> Array:
        """Return ``(N, 4)`` float64 boxes ``x, y, width, height``, NaN in place of a fault.

        Args:
            key: Name of the value.
            optional: ``(N,)`` bool: records that may have none.
        """
        given = [record.get(key, _ABSENT) for record in self.content]
        shaped = np.fromiter(
            (isinstance(b, list | tuple) and len(b) == 4 for b in given), bool, len(given)
        )
        boxes = np.full((len(given), 4), np.nan)
        if not shaped.all():
            odd = _rows(~shaped if optional is None else ~shaped & ~optional)
            absent = [row for row in odd if given[row] is _ABSENT]
            self._absent(key, "no_box", absent, f"{key} None is not [x, y, width, height]")
            self.fault(
                *("no_box", [row for row in odd if given[row] is not _ABSENT]),
                f"four numbers as {key} of",
                lambda row: f"{key} {short(given[row])} is not [x, y, width, height]",
                given.__getitem__,
            )
        places = np.flatnonzero(shaped)
        flat = list(chain.from_iterable(given[row] for row in places.tolist()))
        numbers, no_number, not_finite = floats(flat)
        boxes[shaped] = numbers.reshape(-1, 4)
        for wrong, expected in (
            (no_number, f"a number as {key} of"),
            (not_finite, f"a finite {key} in"),
        ):
            # Backwards, so that of several faults of a box the first one stays.
            owner = {int(places[k // 4]): flat[k] for k in np.flatnonzero(wrong)[::-1].tolist()}
            self.fault(
                *("box_number", sorted(owner), expected),
                lambda row: f"{key} {short(given[row])} has a value that is no finite number",
                owner.__getitem__,
            )
            boxes[list(owner)] = np.nan
        with np.errstate(invalid="ignore"):
            negative = (boxes[:, 2:] < 0).any(1)
        self.fault(
            *("negative_box", np.flatnonzero(negative).tolist()),
            f"a {key} [x, y, width, height] without negative size in",
            lambda row: f"{key} {short(given[row])} has no positive width and height",
            given.__getitem__,
        )
        return boxes

    def flags(self, key: str, kind: str) -> Array:
        """Return ``(N,)`` bool from 0, 1, 0.0, 1.0, false or true; absent or null is false."""
        given = [record.get(key) for record in self.content]
        wrong = [
            row
            for row, value in enumerate(given)
            if value is not None and (type(value) not in _FLAGS or value not in (0, 1))
        ]
        self.fault(
            *(kind, wrong, f"0 or 1 as {key} of"),
            lambda row: f"{key} is {short(given[row])}, not 0 or 1",
            given.__getitem__,
        )
        return np.fromiter((value == 1 for value in given), bool, len(given))

    def ids(self, key: str = "id", optional: bool = False) -> tuple[Array, Array]:
        """Return int64 ids ``(N,)``, and for which records there is a good one ``(N,)``.

        Args:
            key: Name of the value.
            optional: Whether a record may have none.
        """
        given = [record.get(key, _ABSENT) for record in self.content]
        array, good = whole_numbers(given)
        if good.all():
            return array, good
        wrong = _rows(~good)
        if not optional:
            absent = [row for row in wrong if given[row] is _ABSENT]
            self._absent(key, "id", absent, f"{key} is None, not an int")
        for kind, what, rows in (
            ("string_id", ", a string, not an int", [r for r in wrong if _is_text(given[r])]),
            ("id", ", not an int", [r for r in wrong if not _is_text(given[r])]),
        ):
            self.fault(
                *(kind, [r for r in rows if given[r] is not _ABSENT], f"an int as {key} of"),
                lambda row, what=what: f"{key} is {short(given[row])}{what}",  # type: ignore[misc]
                given.__getitem__,
            )
        return array, good

    def references(self, key: str) -> tuple[Array, Array]:
        """Return int64 ids ``(N,)`` that records refer to, and which of them are ids ``(N,)``."""
        given = self.values(key)
        array, good = whole_numbers(given)
        if not good.all():
            wrong = [row for row in _rows(~good) if key in self.content[row]]
            self._unknown(key, wrong, given)
        return array, good

    def places(self, key: str, known: Array, skip_unknown: bool = False) -> Array:
        """Return ``(N,)`` int64 places in ``known`` of the ids that records refer to.

        Args:
            key: Name of the value.
            known: Ascending ids.
            skip_unknown: Whether the place of an unknown id is -1, and no fault.
        """
        array, good = whole_numbers(self.values(key)) if skip_unknown else self.references(key)
        places = np.where(good, found_at(known, array), -1)
        if not skip_unknown:
            self._unknown(key, _rows(good & (places < 0)), array.tolist())
        return places

    def _unknown(self, key: str, rows: Sequence[int], given: Sequence[Any]) -> None:
        self.fault(
            f"unknown_{key}",
            rows,
            f"a known {key} in",
            lambda row: f"unknown {key} {_reference(given[row])}",
            lambda row: _Said(_reference(given[row])),
        )

    def _title(self, row: int) -> str:
        """Return what messages call a record: by id ("annotation 17"), or "annotations[3]"."""
        identity = self.content[row].get("id") if self._objects[row] else None
        if type(identity) is int:
            return f"{self.noun} {identity}"
        return f"{plural(self.noun)}[{self.first + row}]"

    def _absent(self, key: str, kind: str, rows: Sequence[int], text: str) -> None:
        self.fault(kind, rows, f"`{key}` in", lambda row: text, lambda row: _Said("none"))


class _Said(str):
    """Words that a message has instead of a value."""


def _rows(wrong: Array) -> list[int]:
    return np.flatnonzero(wrong).tolist()


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _reference(value: Any) -> str:
    said = short(value)
    return f"{said} (a string; ids of COCO files are numbers)" if _is_text(value) else said
