import json
import os
import time

import pytest

from corrlight.runs.entries import (
    check_filters,
    find_entries,
    find_entry,
    flat_config,
    matches,
    stored_overrides,
)
from corrlight.runs.folder import RunFolder
from tests.runs.folders import some_runs


@pytest.fixture
def runs(tmp_path):
    return some_runs(tmp_path / "runs")


def test_states_come_from_the_folders_alone(runs):
    broken = RunFolder(runs / "a" / "0123456789ab").metrics_file
    broken.write_text(broken.read_text()[:10])
    states = {entry.name: entry.state for entry in find_entries(runs)}
    assert states == {
        "a/0123456789ab": "broken",
        "a/1123456789ab": "finished",
        "b/2123456789ab": "stopped",
        "b/3123456789ab": "broken",
    }
    folder = RunFolder(runs / "b" / "3123456789ab")
    folder.lock()
    assert {e.name: e.state for e in find_entries(runs)}["b/3123456789ab"] == "running"
    folder.unlock()


def _unfinished(runs, rows, wall_seconds=0.0, started=None):
    """Return the entry of the run that ended without a word, with these epochs."""
    folder = RunFolder(runs / "b" / "3123456789ab")
    folder.write_csv("metrics.csv", rows)
    folder.write_json("environment.json", {"status": "running", "wall_seconds": wall_seconds})
    if started is not None:
        os.utime(folder.path / "environment.json", (started, started))
    return find_entry(runs, "3123")


def test_the_best_epoch_so_far_is_that_of_the_highest_ap(runs):
    rows = [
        {"epoch": 0, "val/AP": 0.1, "val/AP50": 0.9},
        {"epoch": 1, "val/AP": 0.3, "val/AP50": 0.5, "val/beta_img": None},
        {"epoch": 2},  # not validated
        {"epoch": 3, "val/AP": 0.3, "val/AP50": 0.6},
        {"epoch": 4, "val/AP": "nan", "val/AP50": 0.7},
        {"epoch": 5, "val/AP": 0.2},
    ]
    assert _unfinished(runs, rows).best == {"AP": 0.3, "AP50": 0.5, "epoch": 2}
    assert _unfinished(runs, [{"epoch": 0, "val/AP": 0.0}]).best == {"AP": 0.0, "epoch": 1}
    assert _unfinished(runs, [{"epoch": 0}]).best == {}
    assert _unfinished(runs, []).best == {}
    assert find_entry(runs, "0123").best == {}  # finished: metrics.json says what came out


def test_times_of_runs(runs):
    rows = [{"epoch": k, "seconds": 50.0} for k in range(3)]
    assert _unfinished(runs, rows).seconds == 150  # killed: it could not say
    assert _unfinished(runs, rows, wall_seconds=200.0).seconds == 200
    assert _unfinished(runs, [{"epoch": 0}], wall_seconds=20.0).seconds == 20
    assert find_entry(runs, "0123").seconds == 80
    folder = RunFolder(runs / "b" / "3123456789ab")
    folder.lock()
    try:
        # Of earlier processes, and since this one's start; a clock that is ahead adds nothing.
        entry = _unfinished(runs, rows, wall_seconds=200.0, started=time.time() - 1000)
        assert entry.state == "running"
        assert 1200 <= entry.seconds < 1260
        assert _unfinished(runs, rows, 200.0, started=time.time() + 1000).seconds == 200
        (folder.path / "environment.json").unlink()
        assert find_entry(runs, "3123").seconds is None
    finally:
        folder.unlock()


def test_files_of_other_content_do_not_stop_the_list(runs):
    folder = runs / "a" / "0123456789ab"
    (folder / "config.yaml").write_text("- 1\n- 2\n")
    (folder / "environment.json").write_text(json.dumps([1]))
    (folder / "metrics.csv").write_bytes(b"\xff\xfe\x00")
    entry = next(e for e in find_entries(runs) if e.name.endswith("0123456789ab"))
    assert (entry.config, entry.environment, entry.epochs) == ({}, {}, 0)
    (folder / "environment.json").write_text(json.dumps({"git": "none"}))


def test_a_run_is_named_by_path_name_or_beginning(runs):
    expected = runs / "a" / "0123456789ab"
    for name in ("a/0123456789ab", "01", str(expected)):
        assert find_entry(runs, name).folder.path == expected
    with pytest.raises(ValueError, match=r"one run that '7' names .* but got none"):
        find_entry(runs, "7")
    with pytest.raises(ValueError, match="an empty one"):
        find_entry(runs, " ")


@pytest.mark.parametrize(
    ("text", "count"),
    [("seed=1", 1), ("state=stopped", 1), ("corr=concordance", 4), ("corr=none", 0), ("b/", 2)],
)
def test_filters(runs, text, count):
    assert sum(matches(entry, text) for entry in find_entries(runs)) == count


def test_a_filter_that_names_nothing_is_refused(runs):
    entries = find_entries(runs)
    check_filters(["corr.weight=0.2", "state=failed", "plain"], entries)
    with pytest.raises(ValueError, match=r"but got 'corr.wieght'. Did you mean 'corr.weight'\?"):
        check_filters(["corr.wieght=0.2"], entries)
    with pytest.raises(ValueError, match="`state`"):
        check_filters(["state=done"], entries)


def test_options_and_overrides_are_texts(runs):
    entry = find_entry(runs, "11")
    assert flat_config(entry.config)["corr.weight"] == "0.3"
    assert stored_overrides(entry) == ["seed=1", "corr=concordance"]
    (entry.folder.path / "overrides.yaml").write_text("[1, 2")
    with pytest.raises(ValueError, match="Cannot read the overrides of a/11"):
        stored_overrides(entry)


def test_there_is_no_folder(tmp_path):
    with pytest.raises(ValueError, match="folder of all runs"):
        find_entries(tmp_path / "none")
