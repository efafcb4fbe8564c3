"""Means, deviations and paired differences over the seeds; remarks."""

import json

import numpy as np
import pytest
from scipy import stats

from corrlight.runs.folder import RunFolder
from experiments.harness.collection import (
    Collected,
    Results,
    Summary,
    paired_difference,
    read_results,
)
from experiments.harness.row import Row
from experiments.harness.setting import ATSS, SPARSE_RCNN
from experiments.harness.table import Table, standard_grid
from tests.reporting.folders import make_run

BASE = Row(setting=ATSS, thesis={"AP": 38.7})
LOSS = Row(
    setting=ATSS, coefficient="concordance", weight=0.3, thesis={"AP": 39.8}, baseline=BASE.key
)
TABLE = Table(name="t", title="T", rows=(BASE, LOSS), columns=("AP", "beta_cls"))


def folders(root, name, aps):
    """Run folders with these APs; None is a run without results."""
    made = []
    for seed, ap in enumerate(aps):
        path = root / name / str(seed)
        if ap is not None:
            make_run(root, name, str(seed), metrics={"AP": ap, "AP50": 2 * ap, "beta_cls": None})
        made.append(RunFolder(path))
    return made


def collected(tmp_path, base, loss, toy=False):
    results = {
        row.key: read_results(row, folders(tmp_path, row.coefficient, aps))
        for row, aps in ((BASE, base), (LOSS, loss))
    }
    return Collected(results=results, toy=toy)


def test_interval_of_the_paired_difference_is_students():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 6))
    own = paired_difference(list(first), list(second))
    expected = stats.ttest_rel(second, first).confidence_interval(0.95)
    assert own.count == 6
    assert own.mean == pytest.approx(np.mean(second - first))
    assert (own.low, own.high) == pytest.approx((expected.low, expected.high))


def test_seeds_that_one_row_lacks_are_left_out_of_the_difference():
    own = paired_difference([0.1, None, 0.3], [0.2, 0.9, None])
    assert own.mean == pytest.approx(0.1)
    assert (own.low, own.count) == (None, 1)
    assert paired_difference([None], [0.3]).mean is None


def test_summary_is_mean_and_sample_deviation():
    own = Summary.of([0.1, None, 0.4])
    assert (own.mean, own.deviation, own.count) == (
        pytest.approx(0.25), pytest.approx(np.std([0.1, 0.4], ddof=1)), 2,
    )  # fmt: skip
    assert Summary.of([None]).mean is None
    assert Summary.of([0.3]).deviation is None


def test_a_row_that_has_not_run_is_a_dash_and_never_the_thesis_number(tmp_path):
    grid = standard_grid(TABLE, collected(tmp_path, [0.4], [None]))
    base, loss = grid.lines
    heading = list(grid.header)
    assert base[heading.index("AP")] == "40.0"
    assert loss[heading.index("AP")] == "-"
    assert loss[heading.index("AP") + 1] == "39.8"
    assert loss[heading.index("beta_cls")] == "-"
    assert loss[heading.index("AP gain")] == "-"
    assert loss[heading.index("AP gain") + 1] == "+1.1"
    assert "not run" in loss[-1]


def test_seeds_give_mean_deviation_and_interval(tmp_path):
    grid = standard_grid(TABLE, collected(tmp_path, [0.40, 0.42], [0.41, 0.45]))
    line = grid.lines[1]
    assert "43.0 \u00b1 2.8" in line
    assert "+2.0 [-10.7, +14.7]" in line  # t(1) = 12.706
    assert any("Student" in note for note in grid.notes)


@pytest.mark.parametrize(
    ("setting", "ap50", "converged"),
    [(ATSS, 0.29, False), (ATSS, 0.31, True), (SPARSE_RCNN, 0.29, True), (SPARSE_RCNN, 0.1, False)],
)
def test_weak_toy_rows_are_marked(tmp_path, setting, ap50, converged):
    folder = RunFolder(make_run(tmp_path, "a", "b", metrics={"AP50": ap50}))
    result = read_results(Row(setting=setting), [folder])
    assert ("not converged" in result.remarks(toy=True)) != converged
    assert "not converged" not in result.remarks(toy=False)


def test_bounds_are_those_of_the_test(tmp_path):
    folder = make_run(tmp_path, "a", "b", metrics={"AP": 0.3})
    (folder / "test").mkdir()
    (folder / "test" / "metrics.json").write_text(json.dumps({"AP": 0.9, "AP_upper_cls": 0.5}))
    result = read_results(BASE, [RunFolder(folder)])
    assert result.values("AP_upper_cls") == [0.5]
    assert result.values("AP") == [0.3]


def test_runs_of_another_commit_and_broken_folders_are_marked(tmp_path):
    folder = make_run(tmp_path, "a", "b", metrics={"AP": 0.3})
    (folder / "environment.json").write_text(json.dumps({"git": {"commit": "0123456789"}}))
    assert "commit 0123456" in read_results(BASE, [RunFolder(folder)]).remarks(toy=False)
    (folder / "metrics.json").write_text('{"AP": 0.')
    broken = read_results(BASE, [RunFolder(folder)])
    assert broken.num_runs == 0
    assert any("unreadable" in remark for remark in broken.remarks(toy=False))


def test_partly_run_rows_say_how_many():
    result = Results(row=BASE, runs=(None, None))
    assert result.remarks(toy=False) == ["not run"]
