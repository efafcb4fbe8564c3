"""Damaged run folders and folders that cannot be written: one line, or the run goes on."""

import pytest
import torch

from corrlight.app import BAD_INPUT, main
from corrlight.app import run as run_app
from corrlight.callbacks import RunCheckpoint
from corrlight.runs.folder import RunFolder
from experiments import table_5_1
from experiments.harness.command import main as run_table
from tests.integration.conftest import run_folder

# More kinds of damage are tried where the files are read: tests/runs, tests/engine.
DAMAGES = {
    "cut": lambda data: data[: len(data) // 2],
    "other bytes": lambda data: b"\xff\xfe" + data[2:50],
}


def damage(path, kind):
    data = path.read_bytes()
    path.unlink()  # Checkpoints may share their blocks.
    path.write_bytes(DAMAGES[kind](data))


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_metrics_file_is_written_again(made_once, finished, options, capsys, kind):
    folder, (whole, _) = finished, made_once
    damage(folder / "metrics.json", kind)
    last = (folder / "checkpoints" / "last.ckpt").read_bytes()
    assert run_app(options) == 0
    for name in ("metrics.json", "detections.json", "per_class.csv", "metrics.csv"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == last
    assert "Traceback" not in capsys.readouterr().err


def test_a_damaged_checkpoint_gives_way_to_the_one_before(made_once, finished, options, capsys):
    folder, (whole, _) = finished, made_once
    checkpoints = folder / "checkpoints"
    (folder / "metrics.json").unlink()
    damage(checkpoints / "last.ckpt", "cut")
    assert run_app(options) == 0
    assert (folder / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()
    (folder / "metrics.json").unlink()
    for name in ("last.ckpt", "previous.ckpt"):
        damage(checkpoints / name, "other bytes")
    before = {path: path.read_bytes() for path in checkpoints.iterdir()}
    capsys.readouterr()
    assert run_app(options) == BAD_INPUT
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "no earlier checkpoint; rerun=true starts the run anew" in error
    assert before == {path: path.read_bytes() for path in checkpoints.iterdir()}
    assert not RunFolder(folder).held


CALLS = {
    "run.py": run_app,
    "run.py -m": lambda given: main(["-m", *given, "seed=0"]),
    "table": lambda given: run_table(table_5_1.TABLE, ["--toy", "--rows", "atss-none", *given]),
}


@pytest.mark.parametrize(
    ("place", "calls"), [("a file", ("run.py -m", "table")), ("/proc/corrlight", ("run.py",))]
)
def test_a_folder_of_runs_that_cannot_be_written_is_one_line(
    options, tmp_path, capsys, place, calls
):
    if place == "a file":
        (tmp_path / "file").write_text("mine")
        place = tmp_path / "file"
    overrides = [*options, f"paths.runs_dir={place}"]
    for name in calls:
        assert CALLS[name](overrides) == BAD_INPUT, name
        lines = capsys.readouterr().err.splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        assert len(errors) == 1, (name, lines)
        assert str(place) in errors[0]
        assert not any("Traceback" in line for line in lines)


def test_a_moved_folder_is_resumed_where_it_is(made_once, finished):
    """Not a new run under ``runs``, which the folder's own options would describe."""
    runs = finished.parents[1]
    folder = run_folder(runs.rename(runs.with_name("my 'runs', moved")))
    (folder / "metrics.json").unlink()
    assert run_app([f"resume={folder}"]) == 0
    whole, _ = made_once
    assert (folder / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()


def test_resuming_with_an_option_of_another_run_is_one_line(finished, capsys):
    assert run_app([f"resume={finished}", "schedule.lr=0.5"]) == BAD_INPUT
    error = capsys.readouterr().err
    assert "Expected `resume` to name the run of these options" in error
    assert error.count("\n") == 1
    assert run_folder(finished.parents[1]) == finished


def test_a_moved_folder_keeps_its_best_checkpoint(finished):
    """A later epoch that is worse does not take its place."""
    last = finished / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    (state,) = (v for k, v in checkpoint["callbacks"].items() if k.startswith("RunCheckpoint"))
    state["best_model_score"] = torch.tensor(1.0)
    state["best_k_models"] = dict.fromkeys(state["best_k_models"], torch.tensor(1.0))
    state["kth_value"] = torch.tensor(1.0)
    callback = RunCheckpoint()
    callback.dirpath = str(last.parent)
    callback.load_state_dict(state)
    assert callback.best_model_score == 1
    assert callback.best_k_models == {str(last.parent / "best.ckpt"): torch.tensor(1.0)}
    assert callback.best_model_path == callback.kth_best_model_path
