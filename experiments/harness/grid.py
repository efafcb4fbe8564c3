"""A finished table as text cells, and its Markdown, CSV, LaTeX and HTML."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["DASH", "FORMATS", "Grid", "number", "render"]

DASH = "-"
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "$": r"\$",
    "\u00b1": r"$\pm$",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table of text.

    Attributes:
        title: Above it.
        header: Headings.
        lines: Cells, as many a line as headings.
        notes: Lines below.
        text_columns: Leading columns that hold words, aligned to the left.
        marks: What a sign behind a number means: ``{"*": "not published"}``. CSV keeps the number
            a number and says it in the last column, which holds remarks.
    """

    title: str
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    text_columns: int = 2
    marks: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for line in self.lines:
            if len(line) != len(self.header):
                raise ValueError(
                    f"Expected {len(self.header)} cells in every line of `lines`, but got {line}."
                )


def number(fraction: float | None, digits: int = 1, *, signed: bool = False) -> str:
    """Return a fraction times 100, a dash for None."""
    if fraction is None:
        return DASH
    rounded = round(100 * fraction, digits) + 0.0  # + 0.0 turns -0.0 into 0.0
    return f"{rounded:{'+' if signed and rounded else ''}.{digits}f}"


def _markdown(grid: Grid) -> str:
    cells = [[cell.replace("|", "\\|") for cell in line] for line in (grid.header, *grid.lines)]
    widths = [max(3, *(len(line[k]) for line in cells)) for k in range(len(grid.header))]
    rule = [
        "-" * width if k < grid.text_columns else "-" * (width - 1) + ":"
        for k, width in enumerate(widths)
    ]
    padded = [
        [
            cell.ljust(width) if k < grid.text_columns else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in cells
    ]
    lines = ["| " + " | ".join(line) + " |" for line in (padded[0], rule, *padded[1:])]
    notes = [f"- {note}" for note in grid.notes]
    return "\n".join([f"**{grid.title}**", "", *lines, "", *notes]).rstrip("\n") + "\n"


def _csv(grid: Grid) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    # For a program every heading has to be its own: `AP`, `AP thesis`.
    before = ("", *grid.header)
    names = [
        f"{previous} {name}" if name == "thesis" else name
        for previous, name in zip(before, grid.header, strict=False)
    ]
    writer.writerow(names)
    writer.writerows(_without_marks(grid, line) for line in grid.lines)
    return out.getvalue()


def _without_marks(grid: Grid, line: Sequence[str]) -> list[str]:
    *cells, remarks = line
    for k, cell in enumerate(cells):
        meaning = grid.marks.get(cell[-1:])
        if meaning is not None and re.fullmatch(r"[\d.]+", cell[:-1]):
            cells[k] = cell[:-1]
            remarks = "; ".join(filter(None, (f"{grid.header[k]} {meaning}", remarks)))
    return [*cells, remarks]


def _latex(grid: Grid) -> str:
    columns = "l" * grid.text_columns + "r" * (len(grid.header) - grid.text_columns)
    body = [
        " & ".join(_latex_text(cell) for cell in line) + r" \\"
        for line in (grid.header, *grid.lines)
    ]
    notes = [r"\par\footnotesize " + _latex_text(note) for note in grid.notes]
    return "\n".join(
        [
            r"\begin{table}",
            r"\caption{" + _latex_text(grid.title) + "}",
            r"\begin{tabular}{" + columns + "}",
            r"\hline",
            body[0],
            r"\hline",
            *body[1:],
            r"\hline",
            r"\end{tabular}",
            *notes,
            r"\end{table}",
            "",
        ]
    )


def _latex_text(text: str) -> str:
    return re.sub(r"[\\&%#_{}~^$\u00b1]", lambda found: _LATEX[found.group()], text)


def _html(grid: Grid) -> str:
    right = ' style="text-align:right"'

    def line(tag: str, cells: Sequence[str]) -> str:
        shown = [
            f"<{tag}{'' if k < grid.text_columns else right}>{html.escape(cell)}</{tag}>"
            for k, cell in enumerate(cells)
        ]
        return f"<tr>{''.join(shown)}</tr>"

    notes = [f"<p><small>{html.escape(note)}</small></p>" for note in grid.notes]
    return "\n".join(
        [
            "<table>",
            f"<caption>{html.escape(grid.title)}</caption>",
            "<thead>",
            line("th", grid.header),
            "</thead>",
            "<tbody>",
            *(line("td", cells) for cells in grid.lines),
            "</tbody>",
            "</table>",
            *notes,
            "",
        ]
    )


FORMATS: dict[str, Callable[[Grid], str]] = {
    "md": _markdown,
    "csv": _csv,
    "latex": _latex,
    "html": _html,
}


def render(grid: Grid, form: str) -> str:
    """Return a table as text.

    Args:
        grid: The table.
        form: "md", "csv", "latex" or "html".

    Raises:
        ValueError: If ``form`` is none of them.
    """
    if form not in FORMATS:
        raise ValueError(f"Expected `form` to be one of {', '.join(FORMATS)}, but got '{form}'.")
    return FORMATS[form](grid)
