"""The trainer of a run: what it is given, in which order, and that it writes to the run folder."""

import warnings

import lightning.pytorch as pl
import pytest

from corrlight.config.compose import compose_config
from corrlight.engine.checkpoint import AtomicCheckpointIO, load_checkpoint
from corrlight.engine.trainer import make_trainer
from corrlight.runs.folder import RunFolder
from corrlight.runs.recorder import Recorder
from tests.callbacks.small import Batches, PerfectDetector


class Extra(pl.Callback):
    """What a test adds."""


@pytest.fixture
def make(tmp_path):
    def made(*overrides, extras=()):
        own = ["trainer=cpu", "schedule.max_epochs=2", "~callbacks.pictures", *overrides]
        folder = RunFolder(tmp_path / "run")
        folder.create()
        recorder = Recorder(folder)
        config = compose_config(own).config
        return make_trainer(config, folder, recorder, [], extras), folder, recorder

    return made


def test_callbacks_come_in_the_order_that_they_rely_on(make):
    extra = Extra()
    trainer, _, recorder = make(extras=[extra])
    names = [type(callback).__name__ for callback in trainer.callbacks]
    # The seed of the epoch before whatever draws, the row of the epoch after all that log to it,
    # and what stops a run after both. Lightning moves checkpoints behind them.
    assert names[:3] == ["EpochSeed", "ValidateLastEpoch", "BatchWatch"]
    assert names[-1] == "RunCheckpoint"
    assert names[-2] == "StopSignals"
    assert trainer.callbacks[-3] is recorder
    assert trainer.callbacks[-4] is extra
    assert {"NonFiniteGuard", "EpochProgress"} <= set(names)


def test_options_of_the_configuration_are_the_trainers(make):
    trainer, folder, _ = make("trainer.accumulate_grad_batches=3", "schedule.max_epochs=7")
    assert trainer.accumulate_grad_batches == 3
    assert trainer.max_epochs == 7
    assert trainer.num_sanity_val_steps == 0
    assert trainer.default_root_dir == str(folder.path)
    assert isinstance(trainer.strategy.checkpoint_io, AtomicCheckpointIO)


def test_a_training_writes_checkpoints_and_rows_to_its_folder(make):
    trainer, folder, recorder = make()
    trainer.fit(PerfectDetector(), Batches(2))
    assert load_checkpoint(folder.last_checkpoint)["global_step"] == 4
    assert {p.name for p in folder.last_checkpoint.parent.iterdir()} >= {"best.ckpt", "last.ckpt"}
    rows = folder.read_csv("metrics.csv")
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert [float(row["val/AP"]) for row in rows] == [0.25, 0.25]
    assert recorder.seconds_per_iteration > 0


def test_warnings_about_what_is_meant_are_not_shown(make):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
        caught.clear()
        for text in (
            "The 'train_dataloader' does not have many workers which may be a bottleneck",
            "The number of training batches (2) is smaller than the logging interval",
            "Checkpoint directory x exists and is not empty.",
            "of another kind",
        ):
            warnings.warn(text, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["of another kind"]
