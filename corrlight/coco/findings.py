"""What is wrong in a COCO file: counted by kind, with the first records and the way out.

One pass over a file finds everything. A reader that is strict turns what stops it into one error; a
report lists all of it.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from corrlight.coco.kinds import KINDS, UNKNOWN, Purpose

__all__ = [
    "KEPT",
    "CocoFormatError",
    "Example",
    "Finding",
    "Findings",
    "Level",
    "MaskError",
    "UnknownIdError",
    "plural",
    "short",
    "summarize",
]

Level = Literal["error", "warning", "note"]

# Records that a finding keeps, and problems that a message shows.
KEPT = 20
_SHOWN = 5
# A share of the records from which it is worth a warning.
_NOTABLE = 0.01


class CocoFormatError(ValueError):
    """Data that cannot be trained on or evaluated.

    Attributes:
        problems: One line each, of every kind at most the first 20; the message shows the first
            few.
    """

    def __init__(self, message: str, problems: Sequence[str]) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class MaskError(ValueError):
    """A mask that cannot be used; without masks, the file can."""


class UnknownIdError(ValueError):
    """A record of an image or category that is not there; without it, the file can be read."""


def summarize(
    expectation: str, problems: Sequence[str], count: int | None = None, way_out: str = ""
) -> CocoFormatError:
    """Return the one-line error "Expected ..., but found n problems: ...".

    Args:
        expectation: What comes after "Expected".
        problems: One line each.
        count: How many there are, if not all are given.
        way_out: A sentence at the end.
    """
    count = len(problems) if count is None else count
    shown = problems[:_SHOWN]
    more = f"; and {count - len(shown):,} more" if count > len(shown) else ""
    number = f"{count:,} problem{'s' if count > 1 else ''}"
    end = f" {way_out}" if way_out else ""
    return CocoFormatError(
        f"Expected {expectation}, but found {number}: {'; '.join(shown)}{more}.{end}", problems
    )


def short(value: Any) -> str:
    """Return a value of a file as messages show it."""
    return reprlib.repr(value)


def plural(noun: str) -> str:
    """Return "images", "categories" or "annotations"."""
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One record of a finding.

    Attributes:
        row: Its place in its list, counted from 0; -1 for the file as a whole.
        name: What it is called: by id ("annotation 17") or, without one, by place.
        text: What is wrong with it.
        expected: What should have been there ("a known image_id in").
        got: What was there instead; empty if ``expected`` says it.
    """

    row: int
    name: str
    text: str
    expected: str = ""
    got: str = ""

    @property
    def line(self) -> str:
        """The record and what is wrong with it."""
        return f"{self.name}: {self.text}" if self.name else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Everything of one kind in a file.

    Attributes:
        kind: A key of ``KINDS``.
        noun: What a record is called ("annotation"); empty for the file as a whole.
        count: Records that it is true of.
        examples: The first 20 of them.
        stops: What the file is of no use for.
        share: Share of the records of its list, where that decides how bad it is.
        cause: What it probably comes from.
    """

    kind: str
    noun: str
    count: int
    examples: tuple[Example, ...]
    stops: frozenset[Purpose]
    share: float | None = None
    cause: str = ""

    def way_out(self, purpose: Purpose) -> str:
        """Return a sentence with what mends or allows it, or an empty text."""
        kind = KINDS[self.kind]
        return kind.way_out or (kind.in_training if purpose == "train" else "")

    @property
    def lines(self) -> list[str]:
        """One line a record; one for all where their share is what counts."""
        return [e.line for e in self.examples] if self.share is None else [self.said()]

    def level(self, purpose: Purpose) -> Level:
        """Return how bad it is: what stops the purpose is an error."""
        if purpose in self.stops:
            return "error"
        notable = self.share is None or self.share >= _NOTABLE
        return "warning" if notable and purpose in KINDS[self.kind].warns else "note"

    def said(self) -> str:
        """Return the finding in one line: "3 annotations without area: ...; first: ..."."""
        first = self.examples[0]
        if not self.noun:
            return first.line
        noun = self.noun if self.count == 1 else plural(self.noun)
        share = "" if self.share is None else f" ({_percent(self.share)})"
        cause = f"; {self.cause}" if self.cause else ""
        begin = f"{self.count:,} {noun}{share} {KINDS[self.kind].title}{cause}"
        return f"{begin} (first: {first.line})" if first.text else begin

    def error(self) -> ValueError:
        """Return "Expected ... annotation number 3, but got ..." of its first record.

        It is what a reader says that measures; :meth:`Findings.raise_all` is for training.
        """
        first = self.examples[0]
        place = f" {self.noun} number {first.row}" if first.row >= 0 else ""
        got = f", but got {first.got}" if first.got else ""
        more = f" (and in {self.count - 1:,} more)" if self.count > 1 else ""
        way_out = self.way_out("measure")
        end = f" {way_out}" if way_out else ""
        kind: type[ValueError] = MaskError if KINDS[self.kind].of_masks else ValueError
        if self.kind in UNKNOWN:
            kind = UnknownIdError
        return kind(f"Expected {first.expected}{place}{got}{more}.{end}")


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


@dataclass(slots=True)
class Findings:
    """Collects findings; a kind that comes again (in the next piece of a file) is counted on."""

    _found: dict[tuple[str, str], Finding] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found.values())

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, kind: str) -> Finding:
        """Return the finding of a kind.

        Raises:
            KeyError: If there is none.
        """
        for finding in self:
            if finding.kind == kind:
                return finding
        raise KeyError(kind)

    def __contains__(self, kind: str) -> bool:
        return any(f.kind == kind for f in self)

    def count(self, *kinds: str) -> int:
        """Return how many records some kinds are true of."""
        return sum(f.count for f in self if f.kind in kinds)

    def add(
        self,
        kind: str,
        noun: str,
        rows: Sequence[int],
        example: Callable[[int], Example],
        *,
        stops: Iterable[Purpose] | None = None,
        share: float | None = None,
        cause: str = "",
    ) -> None:
        """Add records of a kind; without any, nothing is added.

        Args:
            kind: A key of ``KINDS``.
            noun: What a record is called.
            rows: The records.
            example: Makes the example of a member of ``rows``; called for the first few only.
            stops: What it stops. Default: what its kind stops.
            share: See :class:`Finding`.
            cause: See :class:`Finding`.
        """
        if not len(rows):
            return
        known = self._found.get((kind, noun))
        if known is None:
            purposes = frozenset(KINDS[kind].stops if stops is None else stops)
            known = Finding(
                kind=kind, noun=noun, count=0, examples=(), stops=purposes, share=share, cause=cause
            )
        wanted = rows[: max(0, KEPT - len(known.examples))]
        self._found[kind, noun] = replace(
            known,
            count=known.count + len(rows),
            examples=(*known.examples, *(example(int(row)) for row in wanted)),
        )

    def add_file(self, kind: str, text: str, expected: str, got: str) -> None:
        """Add something that is true of the file as a whole."""
        one = Example(row=-1, name="", text=text, expected=expected, got=got)
        self.add(kind, "", [-1], lambda row: one)

    def errors(self, purpose: Purpose, allowed: Sequence[str] = ()) -> list[Finding]:
        """Return what stops a purpose, but for allowed kinds."""
        return [f for f in self if purpose in f.stops and f.kind not in allowed]

    def raise_first(self, purpose: Purpose, allowed: Sequence[str] = ()) -> None:
        """Raise an error of one line that names the first record that stops a purpose.

        Args:
            purpose: What the file is needed for.
            allowed: Kinds that do not stop it here.

        Raises:
            MaskError: If it is a mask.
            ValueError: If it is anything else.
        """
        for finding in self.errors(purpose, allowed):
            raise finding.error()

    def raise_all(self, purpose: Purpose, path: object, allowed: Sequence[str] = ()) -> None:
        """Raise an error of one line that counts everything that stops a purpose.

        Args:
            purpose: What the file is needed for.
            path: The file.
            allowed: Kinds that do not stop it here.

        Raises:
            CocoFormatError: If there is anything.
        """
        errors = self.errors(purpose, allowed)
        # Without its lists, nothing else is worth saying of a file.
        errors = [f for f in errors if not f.noun] or errors
        if errors:
            raise summarize(
                f"{path} to be a valid COCO annotation file",
                [line for finding in errors for line in finding.lines],
                sum(f.count if f.share is None else 1 for f in errors),
                next(filter(None, (f.way_out(purpose) for f in errors)), ""),
            )
