import os
import signal
import sys
import threading
import time

import pytest

from corrlight.runs.command import main
from corrlight.runs.entries import find_entries
from corrlight.runs.folder import RunFolder
from tests.runs.folders import make_run, some_runs


@pytest.fixture
def runs(tmp_path):
    return some_runs(tmp_path / "runs")


def call(runs, *arguments):
    return main([*arguments, "--runs", str(runs)])


def test_groups_are_filtered_by_the_choice_that_was_made(runs, capsys):
    """A loss of the user's own has no coefficient, and is not none."""
    folder = make_run(runs, "c", "4123456789ab")
    folder.write_yaml("config.yaml", {"seed": 0, "corr": {"_target_": "mine.Gap"}})
    folder.write_json(
        "environment.json", {"status": "finished", "choices": {"corr": "gap", "data": "shapes"}}
    )
    for filters, count in ((["corr=gap"], 1), (["corr=none"], 0), (["data=shapes"], 1)):
        assert call(runs, "list", *filters) == 0
        assert f"{count} run" in capsys.readouterr().out
    assert call(runs, "list", "state=finshed") == 2
    assert "Expected `state` to be one of 'finished'" in capsys.readouterr().err


def test_list_shows_measures_and_filters(runs, capsys):
    assert call(runs, "list") == 0
    text = capsys.readouterr().out
    assert "4 runs in" in text
    line = next(line for line in text.splitlines() if line.startswith("a/0123456789ab"))
    assert line.split()[:6] == ["a/0123456789ab", "finished", "2", "0", "25.0", "50.0"]
    assert "1 min 20 s" in line
    for filters, count in (
        (["corr.weight=0.3"], 1),
        (["corr=concordance", "a/"], 2),
        (["corr=none"], 0),
        (["state=stopped"], 1),
        (["b/"], 2),
    ):
        assert call(runs, "list", *filters) == 0
        assert f"{count} runs in" in capsys.readouterr().out


def test_a_run_that_is_being_made_shows_its_best_epoch_and_its_time(runs, capsys):
    folder = RunFolder(runs / "b" / "3123456789ab")
    rows = [{"epoch": k, "val/AP": ap, "val/AP50": 0.6} for k, ap in enumerate((0.1, 0.41, 0.2))]
    folder.write_csv("metrics.csv", rows)
    start = time.time() - 7200
    os.utime(folder.path / "environment.json", (start, start))
    folder.lock()
    try:
        assert call(runs, "list", "b/3") == 0
        listed = capsys.readouterr().out
        assert call(runs, "show", "3123") == 0
        shown = capsys.readouterr().out
    finally:
        folder.unlock()
    line = next(line for line in listed.splitlines() if line.startswith("b/3123456789ab"))
    assert line.split()[:6] == ["b/3123456789ab", "running", "3", "0", "41.0", "60.0"]
    assert "2 h 1 min" in line
    assert "best AP so far" in listed
    assert "41.0, epoch 2" in shown
    assert "2 h 1 min" in shown
    assert call(runs, "list", "a/") == 0
    assert "so far" not in capsys.readouterr().out


def test_a_filter_on_an_option_that_no_run_has_is_an_error(runs, capsys):
    assert call(runs, "list", "cor.weight=0.3") == 2
    assert "got 'cor.weight'. Did you mean 'corr.weight'?" in capsys.readouterr().err


def test_show_takes_the_beginning_of_an_id(runs, capsys):
    assert call(runs, "show", "1123") == 0
    text = capsys.readouterr().out
    assert "seed=1 corr=concordance" in text
    assert "30.0" in text
    assert call(runs, "show", "nothing") == 2
    assert "Expected one run that 'nothing' names" in capsys.readouterr().err


def test_diff_names_options_and_measures(runs, capsys):
    assert call(runs, "diff", "0123", "1123") == 0
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:]}
    assert lines["corr.weight"] == ["0.2", "0.3"]
    assert lines["AP"] == ["25.0", "30.0", "+5.0"]
    assert lines["num_images"] == ["6", "8", "+2"]
    assert "AP50" not in lines
    assert call(runs, "diff", "0123", "0123") == 0
    assert "No difference" in capsys.readouterr().out


# Stands for Python, which `rerun` starts: what a training does with signals, its command in a file.
CHILD = """#!{python}
import os, signal, sys, time
def stop(signum, frame):
    time.sleep(1)  # Longer than Python's own patience with a child after Ctrl-C.
    open("saved", "w").close()
    sys.exit(128 + signum)
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
with open("command", "w") as file:
    file.write("\\n".join([str(os.getpid()), *sys.argv[1:]]))
if "wait" in sys.argv:
    time.sleep(60)
sys.exit(7)
"""


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Let `rerun` start the script above; return the file that gets its command."""
    script = tmp_path / "python"
    script.write_text(CHILD.format(python=sys.executable))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "command"


def test_rerun_takes_the_stored_overrides(runs, child):
    assert call(runs, "rerun", "1123", "trainer.devices=2") == 7
    assert child.read_text().split("\n")[1:] == [
        "-m", "corrlight.cli", "train", "seed=1", "corr=concordance", f"paths.runs_dir='{runs}'",
        "trainer.devices=2", "rerun=true",
    ]  # fmt: skip


def test_rerun_stays_in_the_folder_of_the_run(runs, tmp_path, child):
    """Named by its path, it may be of another folder of runs than the default one."""
    elsewhere = make_run(tmp_path / "elsewhere", "c", "4123456789ab")
    assert call(runs, "rerun", str(elsewhere)) == 7
    assert f"paths.runs_dir='{tmp_path / 'elsewhere'}'" in child.read_text()


@pytest.mark.parametrize(("signum", "to_child"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_rerun_lets_the_training_save(runs, child, signum, to_child):
    """Ctrl-C of a terminal reaches both processes, SIGTERM the one that it names."""
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]

    def stop():
        while not (child.exists() and child.read_text().endswith("rerun=true")):
            time.sleep(0.05)
        if to_child:
            os.kill(int(child.read_text().split()[0]), signum)
        os.kill(os.getpid(), signum)

    thread = threading.Thread(target=stop)
    thread.start()
    assert call(runs, "rerun", "1123", "wait") == 128 + signum
    thread.join()
    assert child.with_name("saved").exists()
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_rm_deletes_what_is_named_and_nothing_that_runs(runs, monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert call(runs, "rm", "0123") == 0
    assert len(find_entries(runs)) == 4
    held = RunFolder(runs / "b" / "3123456789ab")
    held.lock()
    assert call(runs, "rm", "0123", "3123", "--yes") == 2
    assert "not being made" in capsys.readouterr().err
    held.unlock()
    assert call(runs, "rm", "0123", "2123", "--yes") == 0
    assert [entry.name for entry in find_entries(runs)] == ["a/1123456789ab", "b/3123456789ab"]


def test_rm_does_not_delete_what_was_started_before_the_answer(runs, monkeypatch, capsys):
    started = RunFolder(runs / "b" / "3123456789ab")

    def answer(question):
        started.lock()
        return "y"

    monkeypatch.setattr("builtins.input", answer)
    assert call(runs, "rm", "3123") == 2
    assert f"is being made by process {os.getpid()}" in capsys.readouterr().err
    started.unlock()
    assert len(find_entries(runs)) == 4


def test_rm_without_a_name_deletes_nothing(tmp_path, monkeypatch, capsys):
    """As from a variable that is not set; one run is all that there is, or where the user is."""
    folder = make_run(tmp_path / "runs", "a", "0123456789ab")
    for place in (tmp_path, folder.path):
        monkeypatch.chdir(place)
        assert call(tmp_path / "runs", "rm", "", "--yes") == 2
        assert "Expected the name of a run, but got an empty one" in capsys.readouterr().err
    assert folder.finished


def test_rm_takes_a_run_that_is_named_twice(runs):
    assert call(runs, "rm", "0123", "a/0123456789ab", "--yes") == 0
    assert not (runs / "a" / "0123456789ab").exists()
    assert not list(runs.glob("*/*.old*"))


def test_rm_in_another_tree_finds_no_run(tmp_path, capsys):
    """Folders with a config.yaml are in many trees."""
    other = tmp_path / "projects" / "mine" / "0123456789ab"
    other.mkdir(parents=True)
    (other / "config.yaml").write_text("{}")
    assert call(tmp_path / "projects", "rm", "0123", "--yes") == 2
    assert "but got none" in capsys.readouterr().err
    assert find_entries(tmp_path / "projects") == []
    assert other.is_dir()


@pytest.mark.parametrize("by_path", [False, True])
def test_rm_follows_no_links(runs, tmp_path, capsys, by_path):
    kept = make_run(tmp_path / "kept", "c", "4123456789ab")
    (runs / "a" / "5123456789ab").symlink_to(kept.path)
    (runs / "linked").symlink_to(kept.path.parent)
    for name in ("a/5123456789ab", "linked/4123456789ab"):
        assert call(runs, "rm", str(runs / name) if by_path else name, "--yes") == 2
        assert "and no link to one" in capsys.readouterr().err
    assert kept.finished
    assert (runs / "a" / "5123456789ab").is_symlink()


def test_rm_without_an_answer_deletes_nothing(runs, monkeypatch, capsys):
    def nobody(question):
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    assert call(runs, "rm", "0123") == 2
    assert "--yes" in capsys.readouterr().err
    assert len(find_entries(runs)) == 4


def test_a_path_has_to_be_that_of_a_run(runs, tmp_path, monkeypatch, capsys):
    other = tmp_path / "project"
    other.mkdir()
    (other / "config.yaml").write_text("{}")
    assert call(runs, "rm", str(other), "--yes") == 2
    assert "Expected one run" in capsys.readouterr().err
    assert other.is_dir()
    monkeypatch.chdir(runs / "a" / "0123456789ab")
    assert call(runs, "show", ".") == 0
    assert "a/0123456789ab" in capsys.readouterr().out


def test_no_folder_of_runs_is_one_line(tmp_path, capsys):
    assert call(tmp_path / "none", "list") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: Expected the folder of all runs")
    assert error.count("\n") == 1
