"""What the lists of an annotation file have in common: ids, and faults by place in the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from corrlight.coco.columns import Records
from corrlight.coco.findings import Example, Findings, plural, short
from corrlight.coco.types import Array

__all__ = ["RecordList", "joined"]


class RecordList:
    """A list of the file that is read piece by piece.

    It reports the faults that a record shows by itself when the record comes, and those that
    records have together at the end.

    Args:
        noun: What a record is called.
        findings: Where faults go.

    Attributes:
        whole: Whether every record has an id of its own.
    """

    def __init__(self, noun: str, findings: Findings) -> None:
        self.noun = noun
        self.findings = findings
        self.whole = True
        self._ids: list[Array] = []
        self._good: list[Array] = []

    @property
    def ids(self) -> Array:
        """``(N,)`` int64, 0 where there is none."""
        return joined(self._ids).astype(np.int64)

    @property
    def good(self) -> Array:
        """``(N,)`` bool: which records have an id."""
        return joined(self._good).astype(bool)

    def fault(
        self,
        kind: str,
        rows: Sequence[int],
        expected: str | Callable[[int], str],
        text: Callable[[int], str],
        got: Callable[[int], Any],
        **how: Any,
    ) -> None:
        """Report records by their place in the list.

        Args:
            kind: A key of ``KINDS``.
            rows: Which.
            expected: See :meth:`Records.fault`.
            text: What is wrong with one of them.
            got: What there is instead; a text is shown as it is.
            **how: ``stops``, ``share`` and ``cause`` of :meth:`Findings.add`.
        """
        if not len(rows):
            return
        ids, good = self.ids, self.good

        def example(row: int) -> Example:
            value = got(row)
            return Example(
                row=row,
                name=f"{self.noun} {ids[row]}" if good[row] else f"{plural(self.noun)}[{row}]",
                text=text(row),
                expected=expected if isinstance(expected, str) else expected(row),
                got=value if isinstance(value, str) else short(value),
            )

        self.findings.add(kind, self.noun, rows, example, **how)

    def add(self, piece: Sequence[Any], first: int) -> None:
        """Take the next records; ``first`` is the place of the first of them in the list."""
        raise NotImplementedError

    def records(self, piece: Sequence[Any], first: int, optional_id: bool = False) -> Records:
        """Return the next records; their ids are kept.

        Args:
            piece: The records.
            first: Place of the first of them in the list.
            optional_id: Whether one may have no id.
        """
        records = Records(piece, self.noun, first, self.findings)
        ids, good = records.ids(optional=optional_id)
        self.whole &= bool(good.all())
        self._ids.append(ids)
        self._good.append(good)
        return records

    def repeated(self) -> Array:
        """Return the rows whose id an earlier one has, ascending."""
        ids, rows = self.ids, np.flatnonzero(self.good)
        # Stable, so that the first record of an id is never among them.
        order = rows[np.argsort(ids[rows], kind="stable")]
        again: Array = np.sort(order[1:][ids[order[1:]] == ids[order[:-1]]])
        return again

    def report_repeated(self, rows: Array) -> None:
        """Report rows whose id an earlier one has."""
        ids = self.ids
        self.whole &= not len(rows)
        self.fault(
            "repeated_id",
            rows.tolist(),
            lambda row: f"every id once, but {ids[row]} comes again in",
            lambda row: "duplicate id",
            lambda row: "",
        )


def joined(columns: Sequence[Array]) -> Array:
    """Return the columns of all pieces as one."""
    return np.concatenate(columns) if columns else np.zeros(0)
