from types import SimpleNamespace

import pytest
import torch

from corrlight.runs.folder import RunFolder
from corrlight.runs.recorder import Recorder
from corrlight.runs.status import STATUS_FILE, read_status


def trainer(epoch, **measures):
    return SimpleNamespace(
        current_epoch=epoch,
        max_epochs=3,
        global_step=10 * (epoch + 1),
        is_global_zero=True,
        optimizers=[SimpleNamespace(param_groups=[{"lr": 0.5}])],
        callback_metrics={k.replace("_", "/", 1): torch.tensor(v) for k, v in measures.items()},
    )


@pytest.fixture
def recorder(tmp_path):
    folder = RunFolder(tmp_path)
    folder.create()
    return Recorder(folder)


def epoch(recorder, number, validated=True, **measures):
    now = trainer(number, **measures)
    recorder.on_train_epoch_start(now, None)
    recorder.on_train_batch_start(now)
    recorder.on_train_batch_end(now)
    if validated:
        recorder.on_validation_end(now, None)
    recorder.on_train_epoch_end(now, None)


def test_one_row_an_epoch_and_undefined_is_empty(recorder):
    recorder.on_train_start(trainer(0), None)
    epoch(recorder, 0, train_loss=2.0, val_AP=0.25, val_beta=float("nan"))
    epoch(recorder, 1, train_loss=1.0, val_AP=0.5, val_beta=0.125)
    rows = recorder.folder.read_csv("metrics.csv")
    assert [row["val/AP"] for row in rows] == ["0.25", "0.5"]
    assert [row["val/beta"] for row in rows] == ["", "0.125"]
    assert [(row["epoch"], row["step"], row["lr"]) for row in rows] == [
        ("0", "10", "0.5"),
        ("1", "20", "0.5"),
    ]


def test_measures_of_an_earlier_validation_are_not_repeated(recorder):
    recorder.on_train_start(trainer(0), None)
    epoch(recorder, 0, train_loss=2.0, val_AP=0.25)
    epoch(recorder, 1, validated=False, train_loss=1.0, val_AP=0.25)
    rows = recorder.folder.read_csv("metrics.csv")
    assert [row["val/AP"] for row in rows] == ["0.25", ""]


def test_a_resumed_run_keeps_the_rows_before_and_drops_those_that_are_made_again(recorder):
    recorder.folder.write_csv("metrics.csv", [{"epoch": k, "seconds": 1.0} for k in range(3)])
    recorder.on_train_start(trainer(1), None)
    assert [row["epoch"] for row in recorder.rows] == ["0"]


def test_the_sweep_hears_how_far_it_is(recorder, tmp_path, monkeypatch):
    monkeypatch.setenv(STATUS_FILE, str(tmp_path / "report"))
    recorder.on_train_start(trainer(0), None)
    assert read_status(tmp_path / "report").epoch == 0
    epoch(recorder, 0, val_AP=0.25)
    status = read_status(tmp_path / "report")
    assert (status.epoch, status.epochs, status.ap, status.resumed) == (1, 3, 0.25, False)
    assert status.seconds_left is not None


def test_times(recorder):
    assert recorder.data_share is None
    assert recorder.seconds_per_iteration is None
    recorder.on_train_start(trainer(0), None)
    epoch(recorder, 0)
    assert 0 <= recorder.data_share <= 1
    assert recorder.seconds_per_iteration >= 0
