import json

import pytest
from scipy import stats

from corrlight.reporting.intervals import difference_p, main, mean_interval, render_intervals
from corrlight.reporting.runs import read_run
from tests.reporting.folders import make_run

FIRST, SECOND = [0.40, 0.44, 0.36], [0.41, 0.455, 0.365]


@pytest.fixture
def folders(tmp_path):
    out = []
    for name, values in (("base", FIRST), ("loss", SECOND)):
        for seed, value in enumerate(values):
            config = {"seed": seed, "corr": name, "data": {"seed": seed}}
            metrics = {"AP": value, "beta_cls": None}
            out.append(make_run(tmp_path, name, str(seed), config=config, metrics=metrics))
    return out


def cell(values, sign=""):
    mean = sum(values) / len(values)
    low, high = stats.t.interval(0.95, len(values) - 1, mean, stats.sem(values))
    return f"{100 * mean:{sign}.1f} [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def test_means_and_paired_differences_with_their_intervals(folders, capsys):
    table = render_intervals([read_run(f) for f in folders], ("AP", "beta_cls"))
    rows = [[c.strip() for c in line.strip("|").split(" | ")] for line in table.splitlines()]
    assert rows[0] == ["run", "seeds", "AP", "beta_cls"]
    assert rows[2] == ["base", "3", cell(FIRST), "-"]
    assert rows[3] == ["loss", "3", cell(SECOND), "-"]
    paired = [b - a for a, b in zip(FIRST, SECOND, strict=True)]
    p = stats.ttest_rel(SECOND, FIRST).pvalue
    assert rows[4] == ["second minus first", "3", f"{cell(paired, '+')} p {p:.3f}", "-"]
    assert main([*map(str, folders), "--measures", "AP", "beta_cls"]) == 0
    assert capsys.readouterr().out == table + "\n"


def test_every_row_is_compared_with_the_first_and_gaps_are_said(folders, tmp_path):
    third = [
        make_run(
            tmp_path, "third", str(seed),
            config={"seed": seed, "corr": "third", "data": {"seed": seed}},
            metrics={"AP": value, "beta_cls": None},
        )
        for seed, value in enumerate([0.5, None, 0.45])
    ]  # fmt: skip
    lines = render_intervals([read_run(f) for f in [*folders, *third]], ("AP",)).splitlines()
    rows = [[c.strip() for c in line.strip("|").split(" | ")] for line in lines[5:]]
    assert [row[0] for row in rows] == ["loss minus first", "third minus first"]
    assert rows[1][1] == "3"
    assert rows[1][2].startswith(cell([0.1, 0.09], "+"))
    assert rows[1][2].endswith("(2 of 3)")


@pytest.mark.parametrize("differences", [[0.1, 0.3, 0.2], [1.0, -1.0], [0.0, 0.0], [2.0, 2.0]])
def test_p_values_agree_with_intervals(differences):
    p = difference_p(differences)
    _, low, high = mean_interval(differences)
    assert (p < 0.05) == (not low <= 0 <= high)
    if len(set(differences)) > 1:
        assert p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def test_one_seed_has_no_interval(folders):
    lines = render_intervals([read_run(folders[0])], ("AP",)).splitlines()
    assert lines[-1] == "| base | 1 | 40.0 |"
    assert mean_interval([0.5])[1:] == (-float("inf"), float("inf"))


def test_a_folder_that_is_no_run(folders, tmp_path, capsys):
    (folders[0] / "metrics.json").write_text(json.dumps([]))
    assert main([str(folders[0])]) == 1
    assert "error: " in capsys.readouterr().err
