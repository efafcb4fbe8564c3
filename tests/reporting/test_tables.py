"""Numbers, dashes and seeds in tables."""

import csv
import io

import pytest
from rich.console import Console

from corrlight.reporting import (
    compare_runs,
    read_run,
    render_csv,
    render_markdown,
    render_rich,
    run_table,
)
from tests.reporting.folders import make_run

BASE = {"AP": 0.30149, "AP50": 0.6, "AP75": 0.25, "beta_img": 0.2, "beta_cls": None}
LOSS = {"AP": 0.31151, "AP50": 0.59, "AP75": 0.25, "beta_img": -0.1, "beta_cls": 0.4}


@pytest.fixture
def make(tmp_path):
    def build(name, metrics, seed=0, **config):
        folder = make_run(
            tmp_path, name, f"seed{seed}", config={"seed": seed, **config}, metrics=metrics
        )
        return read_run(folder)

    return build


@pytest.fixture
def pair(make):
    return [make("base", BASE, corr={}), make("loss|x", LOSS, corr={"weight": 1})]


def _text(table):
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(table)
    return console.file.getvalue()


def _markdown_cells(text):
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[c.strip() for c in line.replace("\\|", "/").strip("|").split("|")] for line in lines]


def test_two_runs_have_a_difference_and_undefined_is_a_dash(pair):
    cells = _markdown_cells(render_markdown(compare_runs(pair)))
    assert cells[0] == ["run", "AP", "AP50", "AP75", "beta_img", "beta_cls"]
    assert cells[2] == ["base", "30.1", "60.0", "25.0", "20.0", "-"]
    assert cells[3] == ["loss/x", "31.2", "59.0", "25.0", "-10.0", "40.0"]
    assert cells[4] == ["difference", "+1.0", "-1.0", "0.0", "-30.0", "-"]


def test_one_and_three_runs_have_no_difference(make, pair):
    third = make("third", {"AP": 0.1}, corr={"weight": 2})
    assert len(compare_runs(pair[:1]).rows) == 1
    comparison = compare_runs([*pair, third])
    assert [row.name for row in comparison.rows] == ["base", "loss|x", "third"]
    assert _markdown_cells(render_markdown(comparison))[-1] == ["third", "10.0", "-", "-", "-", "-"]


def test_seeds_are_a_median_with_range(make):
    base = [
        make("base", {"AP": ap, "beta_cls": None}, seed) for seed, ap in enumerate((0.3, 0.1, 0.2))
    ]
    loss = [
        make("loss", {"AP": ap, "beta_cls": b}, seed, corr={"weight": 1})
        for seed, (ap, b) in enumerate(((0.5, 0.1), (0.4, None)))
    ]
    comparison = compare_runs([*base, *loss], ("AP", "beta_cls"))
    cells = _markdown_cells(render_markdown(comparison))
    assert cells[0] == ["run", "seeds", "AP", "beta_cls"]
    assert cells[2] == ["base", "3", "20.0 (10.0 to 30.0)", "-"]
    assert cells[3] == ["loss", "2", "45.0 (40.0 to 50.0)", "10.0"]
    assert cells[4] == ["difference", "", "+25.0", "-"]
    rows = list(csv.DictReader(io.StringIO(render_csv(comparison))))
    assert rows[0] == {
        "run": "base", "num_runs": "3", "AP": "20.0000", "AP_min": "10.0000", "AP_max": "30.0000",
        "beta_cls": "-", "beta_cls_min": "-", "beta_cls_max": "-",
    }  # fmt: skip


def test_csv_has_four_digits_and_the_same_rows(pair):
    rows = list(csv.DictReader(io.StringIO(render_csv(compare_runs(pair)))))
    assert [row["run"] for row in rows] == ["base", "loss|x", "difference"]
    assert [row["AP"] for row in rows] == ["30.1490", "31.1510", "1.0020"]
    assert [row["beta_cls"] for row in rows] == ["-", "40.0000", "-"]


def test_negative_zero_is_not_printed(make):
    pair = [make("a", {"AP": 0.30001}, corr={}), make("b", {"AP": 0.3}, corr={"weight": 1})]
    assert _markdown_cells(render_markdown(compare_runs(pair, ("AP",))))[4] == ["difference", "0.0"]


def test_terminal_table_prints_names_with_brackets(make):
    text = _text(render_rich(compare_runs([make("[red]x", BASE)]), title="t"))
    assert "[red]x" in text
    assert "30.1" in text
    assert "All values times 100; -: undefined or not measured." in text


def test_caption_says_what_the_difference_is(pair):
    assert "difference second minus first" in render_markdown(compare_runs(pair))


def test_final_table_of_one_run_shows_what_was_measured(make):
    metrics = {**BASE, "AR_100": 0.5, "AP_large": None, "num_images": 500}
    text = _text(run_table(make("base", metrics).metrics))
    rows = [line for line in text.splitlines() if "AP" in line or "beta" in line or "AR" in line]
    assert any("AP_large" in row and " - " in row for row in rows)
    assert any("AR_100" in row and "50.0" in row for row in rows)
    assert "oLRP" not in text


def test_no_runs():
    with pytest.raises(ValueError, match="`runs` to hold at least one run"):
        compare_runs([])
