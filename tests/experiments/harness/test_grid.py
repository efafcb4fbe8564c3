"""What a table prints."""

import csv
import io

import pytest

from experiments.harness.grid import FORMATS, Grid, number, render

GRID = Grid(
    title="A & B",
    header=("method", "lambda", "AP", "thesis"),
    lines=(("a_b | c", "0.2*", "-", "36.5"), ("<x>", "", "37.0 \u00b1 0.1", "-")),
    notes=("50% of it",),
)


def test_markdown_is_a_table_with_as_many_cells_in_every_line():
    lines = [line for line in render(GRID, "md").splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert {line.replace("\\|", "").count("|") for line in lines} == {5}
    assert len({len(line) for line in lines}) == 1


def test_csv_has_headings_of_their_own_and_reads_back():
    rows = list(csv.reader(io.StringIO(render(GRID, "csv"))))
    assert rows[0] == ["method", "lambda", "AP", "AP thesis"]
    assert [tuple(row) for row in rows[1:]] == list(GRID.lines)


def test_csv_keeps_marked_numbers_numbers_and_says_the_mark_in_the_remarks():
    grid = Grid(
        title="",
        header=("method", "lambda", "remarks"),
        lines=(("a*", "0.2", ""), ("b", "0.2*", ""), ("c", "0.2*", "not run")),
        marks={"*": "not published"},
    )
    rows = list(csv.reader(io.StringIO(render(grid, "csv"))))[1:]
    assert rows == [
        ["a*", "0.2", ""],
        ["b", "0.2", "lambda not published"],
        ["c", "0.2", "lambda not published; not run"],
    ]
    assert "0.2*" in render(grid, "md")


def test_latex_and_html_escape_what_they_must():
    latex = render(GRID, "latex")
    assert r"A \& B" in latex
    assert r"a\_b" in latex
    assert r"$\pm$" in latex
    assert latex.count(r"\\") == 3
    page = render(GRID, "html")
    assert "&lt;x&gt;" in page
    assert page.count("<tr>") == 3


def test_lines_of_another_length_and_unknown_formats_are_refused():
    with pytest.raises(ValueError, match="4 cells"):
        Grid(title="", header=GRID.header, lines=(("a",),))
    with pytest.raises(ValueError, match="Expected `form`"):
        render(GRID, "pdf")
    assert set(FORMATS) == {"md", "csv", "latex", "html"}


def test_undefined_is_a_dash_and_zero_has_no_sign():
    assert number(None) == "-"
    assert number(-0.0001) == "0.0"
    assert number(0.01, signed=True) == "+1.0"
    assert number(0.12345, 4) == "12.3450"
