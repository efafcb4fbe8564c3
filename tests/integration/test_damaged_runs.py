"""Damaged run folders and folders that cannot be written: one line, or the run goes on."""

import shutil

import pytest
import torch

from corrlight.app import BAD_INPUT, main
from corrlight.app import run as run_app
from corrlight.callbacks import RunCheckpoint
from corrlight.runs.folder import RunFolder
from experiments import table_5_1
from experiments.harness.command import main as run_table
from tests.integration.conftest import run_folder

DAMAGES = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "end missing": lambda data: data[:-10],
    "zeros": lambda data: bytes(len(data)),
    "other bytes": lambda data: b"\xff\xfe" + data[2:50],
}


@pytest.fixture(scope="module")
def command(data_dir):
    return [
        f"paths.data_dir={data_dir}", "trainer=cpu", "data.num_train=8", "data.num_val=4",
        "data.image_size=64", "data.batch_size=4", "data.num_workers=0", "schedule.max_epochs=2",
        "schedule.scheduler.warmup_steps=2", "~callbacks.pictures",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(command, tmp_path_factory):
    runs = tmp_path_factory.mktemp("finished")
    assert run_app([*command, f"paths.runs_dir={runs}"]) == 0
    return runs


@pytest.fixture
def runs(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "runs")


def damage(path, kind):
    data = path.read_bytes()
    path.unlink()  # Checkpoints may share their blocks.
    path.write_bytes(DAMAGES[kind](data))


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_metrics_file_is_written_again(command, finished, runs, capsys, kind):
    folder = run_folder(runs)
    damage(folder / "metrics.json", kind)
    last = (folder / "checkpoints" / "last.ckpt").read_bytes()
    assert run_app([*command, f"paths.runs_dir={runs}"]) == 0
    whole = run_folder(finished)
    for name in ("metrics.json", "detections.json", "per_class.csv", "metrics.csv"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == last
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(command, finished, runs, capsys, kind):
    folder = run_folder(runs)
    checkpoints = folder / "checkpoints"
    (folder / "metrics.json").unlink()
    damage(checkpoints / "last.ckpt", kind)
    assert run_app([*command, f"paths.runs_dir={runs}"]) == 0
    whole = run_folder(finished)
    assert (folder / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()
    (folder / "metrics.json").unlink()
    for name in ("last.ckpt", "previous.ckpt"):
        damage(checkpoints / name, kind)
    before = {path: path.read_bytes() for path in checkpoints.iterdir()}
    capsys.readouterr()
    assert run_app([*command, f"paths.runs_dir={runs}"]) == BAD_INPUT
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "no earlier checkpoint; rerun=true starts the run anew" in error
    assert not RunFolder(folder).held
    assert before == {path: path.read_bytes() for path in checkpoints.iterdir()}
    assert not RunFolder(folder).held


@pytest.mark.parametrize("place", ["a file", "/proc/corrlight"])
def test_a_folder_of_runs_that_cannot_be_written_is_one_line(command, tmp_path, capsys, place):
    if place == "a file":
        (tmp_path / "file").write_text("mine")
        place = tmp_path / "file"
    overrides = [*command, f"paths.runs_dir={place}"]
    calls = {
        "run.py": lambda: run_app(overrides),
        "run.py -m": lambda: main(["-m", *overrides, "seed=0,1"]),
        "table": lambda: run_table(table_5_1.TABLE, ["--toy", "--rows", "atss-none", *overrides]),
    }
    for name, call in calls.items():
        assert call() == BAD_INPUT, name
        lines = capsys.readouterr().err.splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        assert len(errors) == 1, (name, lines)
        assert str(place) in errors[0]
        assert not any("Traceback" in line for line in lines)


def test_a_moved_folder_is_resumed_where_it_is(command, finished, runs, capsys):
    """Not a new run under ``runs``, which the folder's own options would describe."""
    moved = runs.rename(runs.with_name("my 'runs', moved"))
    folder = run_folder(moved)
    (folder / "metrics.json").unlink()
    assert run_app([f"resume={folder}"]) == 0
    whole = run_folder(finished)
    assert (folder / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()


def test_resuming_with_an_option_of_another_run_is_one_line(runs, capsys):
    folder = run_folder(runs)
    assert run_app([f"resume={folder}", "schedule.lr=0.5"]) == BAD_INPUT
    error = capsys.readouterr().err
    assert "Expected `resume` to name the run of these options" in error
    assert error.count("\n") == 1
    assert run_folder(runs) == folder


def test_a_moved_folder_keeps_its_best_checkpoint(command, runs, tmp_path):
    """A later epoch that is worse does not take its place."""
    folder = run_folder(runs)
    last = folder / "checkpoints" / "last.ckpt"
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
