import json

import pytest

from corrlight.engine.run_folder import RunFolder
from corrlight.reporting.browse import find_entries, main


def make_run(
    runs, name, identity, *, seed=0, status="finished", ap=0.25, epochs=2, weight=0.2, images=6
):
    folder = RunFolder(runs / name / identity)
    folder.create()
    folder.write_yaml(
        "config.yaml",
        {"seed": seed, "corr": {"coefficient": "concordance", "weight": weight}, "name": None},
    )
    folder.write_yaml("overrides.yaml", [f"seed={seed}", "corr=concordance"])
    folder.write_json("environment.json", {"status": status, "seed": seed, "wall_seconds": 80.0})
    folder.write_csv("metrics.csv", [{"epoch": k} for k in range(epochs)])
    if status == "finished":
        folder.write_json("metrics.json", {"AP": ap, "AP50": 0.5, "num_images": images})
    return folder


@pytest.fixture
def runs(tmp_path):
    runs = tmp_path / "runs"
    make_run(runs, "a", "0123456789ab")
    make_run(runs, "a", "1123456789ab", seed=1, ap=0.3, weight=0.3, images=8)
    make_run(runs, "b", "2123456789ab", status="stopped", epochs=1)
    make_run(runs, "b", "3123456789ab", status="running")
    (runs / ".sweeps" / "sweep-0").mkdir(parents=True)
    return runs


def call(runs, *arguments):
    return main([*arguments, "--runs", str(runs)])


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


def test_rerun_takes_the_stored_overrides(runs, monkeypatch):
    called = []

    class Done:
        returncode = 7

    monkeypatch.setattr("subprocess.run", lambda command, env: called.append(command) or Done())
    assert call(runs, "rerun", "1123", "trainer.devices=2") == 7
    assert called[0][1:] == [
        "-m", "corrlight.cli", "train", "seed=1", "corr=concordance", f"paths.runs_dir={runs}",
        "trainer.devices=2", "rerun=true",
    ]  # fmt: skip


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


def test_files_of_other_content_do_not_stop_the_list(runs):
    folder = runs / "a" / "0123456789ab"
    (folder / "config.yaml").write_text("- 1\n- 2\n")
    (folder / "environment.json").write_text(json.dumps([1]))
    (folder / "metrics.csv").write_bytes(b"\xff\xfe\x00")
    entry = next(e for e in find_entries(runs) if e.name.endswith("0123456789ab"))
    assert (entry.config, entry.environment, entry.epochs) == ({}, {}, 0)
    (folder / "environment.json").write_text(json.dumps({"git": "none"}))
    assert call(runs, "list") == 0
