"""Lists of JSON records to checked columns; every error names the record's number."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from corrlight.coco.types import Array

__all__ = ["Records"]

_NUMBERS = {float, int}
_INT64 = np.iinfo(np.int64)


class Records:
    """Some records of a file.

    Args:
        content: The records.
        kind: What one is called in messages ("detection").
        first: Number of the first record, if it is not the file's first (counted from 0).

    Raises:
        ValueError: If a record is no object.
    """

    def __init__(self, content: Sequence[Any], kind: str, first: int = 0) -> None:
        self.content = content
        self.kind = kind
        self.first = first
        if not set(map(type, content)) <= {dict}:
            row = next(i for i, r in enumerate(content) if not isinstance(r, dict))
            raise ValueError(
                f"Expected an object as {self.name(row)}, but got {reprlib.repr(content[row])}."
            )

    def __len__(self) -> int:
        return len(self.content)

    def name(self, row: int) -> str:
        """Return what messages call a record: "detection number 3"."""
        return f"{self.kind} number {self.first + row}"

    def error(self, expected: str, row: int, got: Any) -> ValueError:
        """Return the error "Expected ... detection number 3, but got ..."."""
        return ValueError(f"Expected {expected} {self.name(row)}, but got {_short(got)}.")

    def values(self, key: str) -> list[Any]:
        """Return the raw values of a key that every record must have."""
        try:
            return [record[key] for record in self.content]
        except KeyError:
            row = next(i for i, record in enumerate(self.content) if key not in record)
            raise ValueError(f"Expected `{key}` in {self.name(row)}, but got none.") from None

    def numbers(self, key: str, missing: float | None = None) -> Array:
        """Return ``(N,)`` float64 finite numbers; strings and booleans are none.

        Args:
            key: Name of the value.
            missing: Stands for an absent or null value, if they are allowed.
        """
        if missing is None:
            return self._finite(self.values(key), key)
        given = [record.get(key) for record in self.content]
        return self._finite([missing if v is None else v for v in given], key, missing)

    def boxes(self, key: str = "bbox") -> Array:
        """Return ``(N, 4)`` float64 boxes ``x, y, width, height``; none may be negative."""
        given = self.values(key)
        for row, box in enumerate(given):
            if not isinstance(box, list | tuple) or len(box) != 4:
                raise self.error(f"four numbers as {key} of", row, box)
        boxes = self._finite([v for box in given for v in box], key, per_record=4).reshape(-1, 4)
        negative = np.flatnonzero((boxes[:, 2:] < 0).any(1))
        if len(negative):
            row = int(negative[0])
            raise self.error(
                f"a {key} [x, y, width, height] without negative size in", row, given[row]
            )
        return boxes

    def flags(self, key: str) -> Array:
        """Return ``(N,)`` bool from 0, 1, false or true; an absent value is 0."""
        given = [record.get(key) or 0 for record in self.content]
        for row, value in enumerate(given):
            if type(value) not in (int, bool) or value not in (0, 1):
                raise self.error(f"0 or 1 as {key} of", row, value)
        return np.array(given, dtype=bool)

    def ids(self, key: str = "id") -> Array:
        """Return ``(N,)`` int64 ids, each of which occurs once."""
        given = self.values(key)
        for row, value in enumerate(given):
            if type(value) is not int or not _INT64.min <= value <= _INT64.max:
                raise self.error(f"an int as {key} of", row, value)
        found = np.array(given, dtype=np.int64)
        if len(np.unique(found)) < len(found):
            seen: set[int] = set()
            row = next(i for i, v in enumerate(given) if v in seen or seen.add(v))  # type: ignore[func-returns-value]
            raise self.error(f"every {key} once, but {given[row]} comes again in", row, given[row])
        return found

    def rows(self, key: str, row_of: Mapping[int, int]) -> Array:
        """Return ``(N,)`` int64 rows that the ids of ``key`` stand for."""
        given = self.values(key)
        try:
            rows = np.array([row_of.get(v, -1) for v in given], dtype=np.int64)
        except TypeError:  # not hashable
            rows = np.array([row_of.get(v, -1) if type(v) is int else -1 for v in given])
        # True and 1.0 are equal to 1 without being an id.
        if np.any(rows < 0) or not set(map(type, given)) <= _NUMBERS:
            row = next(i for i, v in enumerate(given) if rows[i] < 0 or type(v) not in _NUMBERS)
            raise self.error(f"a known {key} in", row, given[row])
        return rows

    def _finite(
        self, values: list[Any], key: str, missing: float = 0.0, per_record: int = 1
    ) -> Array:
        if not set(map(type, values)) <= _NUMBERS:
            row = next(i for i, v in enumerate(values) if type(v) not in _NUMBERS)
            raise self.error(f"a number as {key} of", row // per_record, values[row])
        try:
            array = np.array(values, dtype=np.float64)
        except OverflowError:  # an int beyond the largest float
            array = np.array([v if abs(v) < 1e300 else np.inf for v in values], dtype=np.float64)
        bad = ~np.isfinite(array) & ~(np.isnan(missing) & np.isnan(array))
        if bad.any():
            row = int(np.argmax(bad))
            raise self.error(f"a finite {key} in", row // per_record, values[row])
        return array


def _short(value: Any) -> str:
    return reprlib.repr(value)
