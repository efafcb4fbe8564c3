"""What a check found, as text."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence

from corrlight.datasets.checking.check import SetCheck
from corrlight.datasets.checking.problems import Problem, counted
from corrlight.datasets.checking.statistics import SIZE_EDGES

__all__ = ["as_text", "problem_lines", "result_line"]

_WIDTH = 100
_BAR = 30
# Rows of a histogram, and records of a problem.
_MOST_CLASSES, _MOST_EXAMPLES = 25, 3


def as_text(found: SetCheck, examples: int = _MOST_EXAMPLES) -> str:
    """Return the splits, histograms and problems of a set.

    Args:
        found: The result.
        examples: Records shown a problem.
    """
    lines = [*_splits(found)]
    if any(numbers.num_objects for numbers in found.statistics.values()):
        lines += ["", *_classes(found), "", *_sizes(found)]
    for problem in found.problems:
        lines += ["", *problem_lines(problem, examples)]
    return "\n".join([*lines, "", result_line(found)])


def problem_lines(problem: Problem, examples: int = _MOST_EXAMPLES) -> Iterator[str]:
    """Yield the lines of a problem: what, the first records, the way out."""
    where = f"{problem.where}: " if problem.where else ""
    yield from _wrapped(f"{problem.level.upper():<8} {where}{problem.text}", " " * 9)
    for example in problem.examples[:examples]:
        yield f"           {_shortened(example)}"
    more = problem.count - min(examples, len(problem.examples))
    if problem.examples and more > 0:
        yield f"           and {more:,} more"
    if problem.ways_out:
        yield from _wrapped(f"        -> {problem.ways_out}", " " * 11)


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _shortened(text: str, width: int = 160) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _splits(found: SetCheck) -> Iterator[str]:
    for split in found.splits:
        numbers = found.statistics.get(split.name)
        if numbers is None:
            yield f"{split.name:<8} {split.path}"
            continue
        parts = [
            counted(numbers.num_images, "picture"),
            counted(numbers.num_objects, "object"),
            f"{numbers.num_empty:,} empty",
        ]
        if numbers.num_crowds:
            parts.append(counted(numbers.num_crowds, "crowd"))
        if numbers.picture_sizes is not None:
            low, high = numbers.picture_sizes
            parts.append(f"{low} pixels" if low == high else f"{low} to {high} pixels")
        if numbers.num_masks:
            decoded = found.decoded[split.name]
            some = "all" if decoded >= numbers.num_masks else f"{decoded:,}"
            parts.append(f"{counted(numbers.num_masks, 'mask')} ({some} decoded)")
        else:
            parts.append("no masks")
        yield f"{split.name:<8} {', '.join(parts)}"


def _classes(found: SetCheck) -> Iterator[str]:
    totals: dict[str, int] = {}
    for numbers in found.statistics.values():
        for name, count in numbers.classes.items():
            totals[name] = totals.get(name, 0) + count
    names = sorted(totals, key=lambda name: -totals[name])
    shown = names[:_MOST_CLASSES]
    rows = [
        (name, [numbers.classes.get(name, 0) for numbers in found.statistics.values()])
        for name in shown
    ]
    yield from _histogram(f"objects of {counted(len(names), 'class')}", found, rows)
    if len(names) > len(shown):
        rest = names[len(shown) :]
        least, most = totals[rest[-1]], totals[rest[0]]
        number = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        yield f"  {len(rest):,} more with {number} objects each"


def _sizes(found: SetCheck) -> Iterator[str]:
    ends = [str(edge) for edge in SIZE_EDGES[1:]]
    labels = [f"below {ends[0]}", *(f"{a} to {b}" for a, b in itertools.pairwise(ends))]
    labels.append(f"from {ends[-1]}")
    rows = [
        (label, [numbers.sizes[k] for numbers in found.statistics.values()])
        for k, label in enumerate(labels)
    ]
    used = [k for k, (_, counts) in enumerate(rows) if any(counts)]
    rows = rows[used[0] : used[-1] + 1] if used else rows[:1]
    yield from _histogram("sizes: square root of width x height", found, rows)


def _histogram(
    title: str, found: SetCheck, rows: Sequence[tuple[str, Sequence[int]]]
) -> Iterator[str]:
    width = max([len(title), *(len(_shortened(name, 40)) + 2 for name, _ in rows)])
    columns = [max(len(name), 9) for name in found.statistics]
    heads = (f"{name:>{w}}" for name, w in zip(found.statistics, columns, strict=True))
    yield f"{title:<{width}} {' '.join(heads)}"
    most = max((sum(counts) for _, counts in rows), default=0)
    for name, counts in rows:
        cells = " ".join(f"{c:>{w},}" for c, w in zip(counts, columns, strict=True))
        bar = "#" * (-(-_BAR * sum(counts) // most) if most else 0)
        yield f"  {_shortened(name, 40):<{width - 2}} {cells}  {bar}".rstrip()


def result_line(found: SetCheck) -> str:
    """Return how many errors and warnings there are, and what follows."""
    errors, warnings = found.count("error"), found.count("warning")
    parts = [counted(errors, "error") if errors else "no error", counted(warnings, "warning")]
    if errors:
        return f"result   {', '.join(parts)}: a training refuses this set, or learns nothing."
    return f"result   {', '.join(parts)}: it can be trained on."
