"""Lightning's private parts are there, do what we take them for, and are used in one place."""

import ast
import subprocess
import sys
import threading
import time
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.fabric.strategies.launchers import subprocess_script
from lightning.pytorch import strategies
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.strategies import launchers

from corrlight import lightning_private as private
from tests.callbacks.small import Batches, PerfectDetector, make_trainer

ROOT = Path(__file__).parents[1]
HOME = ROOT / "corrlight" / "lightning_private.py"


@pytest.fixture(scope="module")
def owners(tmp_path_factory):
    """One object of every class that has a private part, after a training where that matters."""
    folder = tmp_path_factory.mktemp("owners")
    averages, checkpoint = EMAWeightAveraging(), ModelCheckpoint(folder)
    trainer = make_trainer(folder, averages, checkpoint, epochs=1, enable_checkpointing=True)
    trainer.fit(PerfectDetector(), Batches())
    ranks = launchers._SubprocessScriptLauncher(None, 1, 1)
    return {
        "trainer": trainer,
        "fit_loop": trainer.fit_loop,
        "progress": trainer.fit_loop.epoch_loop.batch_progress,
        "averages": averages,
        "checkpoint": checkpoint,
        "ranks": ranks,
        "observer": subprocess_script._ChildProcessObserver(0, []),
        "strategy": trainer.strategy,
        "bar": RichProgressBar(),
        "wandb": WandbLogger(save_dir=folder, offline=True),
    }


# What has the part, its name, and what breaks without it.
PARTS = (
    ("observer", "_child_processes", "a rank that ends first kills the checkpoint being saved"),
    ("observer", "_terminate_all", "a rank that ends first kills the checkpoint being saved"),
    ("strategy", "launcher", "ranks are not told to stop, and outlive a failed main process"),
    ("ranks", "procs", "ranks are not told to stop, and outlive a failed main process"),
    ("fit_loop", "_should_accumulate", "checkpoints are saved between accumulated gradients"),
    ("progress", "is_last_batch", "the epoch's last batch is saved before its validation"),
    ("fit_loop", "_data_fetcher", "a resumed epoch trains on the first epoch's batches"),
    ("fit_loop", "_combined_loader", "a resumed epoch trains on the first epoch's batches"),
    ("trainer", "_checkpoint_connector", "a run stopped within a validation is not saved"),
    ("checkpoint", "_save_last_checkpoint", "last.ckpt is not written within an epoch"),
    ("checkpoint", "_monitor_candidates", "last.ckpt is not written within an epoch"),
    ("checkpoint", "_last_global_step_saved", "last.ckpt is missing or written twice an epoch"),
    ("averages", "_average_model", "a stop in a validation saves averages as trained weights"),
    ("averages", "_swap_models", "a stop in a validation saves averages as trained weights"),
    ("bar", "_get_train_description", "the progress bar counts epochs from 0"),
    ("wandb", "_wandb_init", "a resumed job starts another W&B run"),
)


@pytest.mark.parametrize(("owner", "part", "breaks"), PARTS)
def test_the_part_is_still_there(owners, owner, part, breaks):
    found = owners[owner]
    assert hasattr(found, part), (
        f"{type(found).__module__}.{type(found).__name__}.{part} is gone from "
        f"lightning {pl.__version__}: {breaks}."
    )


def test_the_private_classes_are_those_that_lightning_uses():
    launched = subprocess_script._launch_process_observer
    assert launched.__globals__["_ChildProcessObserver"] is subprocess_script._ChildProcessObserver
    ddp = strategies.DDPStrategy(cluster_environment=LightningEnvironment())
    ddp._configure_launcher()
    assert isinstance(ddp.launcher, launchers._SubprocessScriptLauncher)


def test_every_part_that_is_used_is_looked_for_here():
    used = {
        node.attr
        for node in ast.walk(ast.parse(HOME.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_")
    }
    assert used
    assert used <= {part for _, part, _ in PARTS}


def test_no_other_file_names_one():
    parts = {part for _, part, _ in PARTS if part.startswith("_")}
    parts |= {"_ChildProcessObserver", "_SubprocessScriptLauncher"}
    for path in (ROOT / "corrlight").rglob("*.py"):
        if path == HOME:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = {getattr(node, "attr", None), getattr(node, "name", None)}
            assert not names & parts, path
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lightning"):
                assert not any(a.name.startswith("_") for a in node.names), path


def test_the_observer_lets_the_main_process_end_by_itself(monkeypatch):
    class Ended:
        pid, returncode = 1, 143

        def poll(self):
            return self.returncode

    killed = threading.Event()
    observer = subprocess_script._ChildProcessObserver(0, [Ended()], sleep_period=0.2)
    monkeypatch.setattr(observer, "_terminate_all", killed.set)
    observer.start()
    private.forget_ranks()
    time.sleep(0.6)
    assert not killed.is_set()
    assert not observer.is_alive()


def test_only_the_process_that_started_ranks_has_some(owners):
    trainer = make_trainer(".", strategy="ddp", devices=2)
    assert private.started_ranks(owners["trainer"]) == []
    trainer.strategy._configure_launcher()
    assert private.started_ranks(trainer) == []
    with subprocess.Popen([sys.executable, "-c", ""]) as rank:
        trainer.strategy.launcher.procs.append(rank)
        assert private.started_ranks(trainer) == [rank]


class Watch(pl.Callback):
    """Notes what the functions say after every training batch."""

    def __init__(self):
        self.said, self.state = [], None

    def on_train_batch_end(self, trainer, *args):
        self.said.append((private.accumulates(trainer), private.in_last_batch(trainer)))

    def on_validation_batch_start(self, trainer, *args):
        self.state = private.state_before_validation(trainer)


def test_where_the_training_stands(tmp_path):
    watch = Watch()
    trainer = make_trainer(tmp_path, watch, epochs=1, accumulate_grad_batches=2)
    trainer.fit(PerfectDetector(), Batches(num_batches=4))
    assert watch.said == [(True, False), (False, False), (True, False), (False, True)]


class CountedBatches(Batches):
    asked = 0

    def train_dataloader(self):
        self.asked += 1
        return super().train_dataloader()


class Drop(pl.Callback):
    def on_train_start(self, trainer, pl_module):
        private.drop_train_loader(trainer)
        private.drop_train_loader(trainer)  # Nothing is left.


def test_a_dropped_loader_is_asked_for_again(tmp_path):
    asked = []
    for callbacks in ((), (Drop(),)):
        data = CountedBatches()
        trainer = make_trainer(tmp_path, *callbacks, epochs=1)
        trainer.fit(PerfectDetector(), data)
        asked.append(data.asked)
        assert trainer.global_step == 4
    assert asked == [1, 2]


class ValidatedBatches(pl.Callback):
    def __init__(self):
        self.seen, self.steps = [], 0

    def on_train_batch_end(self, *args):
        self.steps += 1

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(batch_idx)


def test_a_state_before_a_validation_validates_from_the_start_when_resumed(tmp_path):
    watch, again = Watch(), ValidatedBatches()
    make_trainer(tmp_path, watch, epochs=1).fit(PerfectDetector(), Batches(num_batches=3))
    torch.save(watch.state, tmp_path / "x.ckpt")
    trainer = make_trainer(tmp_path, again, epochs=1)
    trainer.fit(PerfectDetector(), Batches(num_batches=3), ckpt_path=tmp_path / "x.ckpt")
    assert again.seen == [0, 1, 2]
    assert again.steps == 0


class SaveLast(ModelCheckpoint):
    def on_train_batch_end(self, trainer, *args):
        private.save_last(self, trainer)
        assert private.last_saved_step(self) == trainer.global_step


def test_the_last_checkpoint_can_be_saved_at_any_batch(tmp_path):
    checkpoint = SaveLast(tmp_path, save_last=True, save_top_k=0)
    trainer = make_trainer(tmp_path, checkpoint, epochs=1, enable_checkpointing=True)
    trainer.fit(PerfectDetector(), Batches(num_batches=2))
    assert (tmp_path / "last.ckpt").is_file()


def test_averages_and_weights_change_places(owners):
    averages, trainer = owners["averages"], owners["trainer"]
    assert private.averages_in_use(trainer) == [averages]
    model = PerfectDetector()
    with torch.no_grad():
        model.weight.fill_(7.0)
    before = averages._average_model.module.weight.item()
    private.swap_averages(averages, model)
    assert model.weight.item() == before
    assert averages._average_model.module.weight.item() == 7.0
    assert private.averages_in_use(make_trainer(".", EMAWeightAveraging())) == []


def test_the_text_before_the_bar_and_the_options_of_wandb(owners):
    class Bar(private.EpochBar):
        def epoch_text(self):
            return "epoch 1/9"

    assert Bar()._get_train_description(0).rstrip() == "epoch 1/9"
    private.wandb_options(owners["wandb"])["id"] = "abc"
    assert owners["wandb"]._wandb_init["id"] == "abc"
