"""A finished run that a W&B sweep asks for again."""

from lightning.pytorch.loggers.logger import Logger

from corrlight.runs.folder import RunFolder
from corrlight.runs.replay import replay


class Kept(Logger):
    name, version = "kept", 0

    def __init__(self):
        self.calls = []

    def log_hyperparams(self, params):
        self.calls.append(params)

    def log_metrics(self, metrics, step=None):
        self.calls.append((step, metrics))


def test_a_sweep_gets_every_epoch_of_a_finished_run(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    rows = [
        {"epoch": 0, "step": 4, "train/loss": 1.5, "val/AP": None},
        {"epoch": 1, "step": 8, "train/loss": 1.25, "val/AP": 0.25},
    ]
    folder.write_csv("metrics.csv", rows)
    logger = Kept()
    monkeypatch.setenv("WANDB_SWEEP_ID", "a1b2c3d4")
    replay([logger], folder, {"seed": 0})
    assert logger.calls == [
        {"seed": 0},
        (4, {"epoch": 0, "train/loss": 1.5}),
        (8, {"epoch": 1, "train/loss": 1.25, "val/AP": 0.25}),
    ]


def test_nothing_is_logged_twice_without_a_sweep(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_SWEEP_ID", raising=False)
    logger = Kept()
    replay([logger], RunFolder(tmp_path), {"seed": 0})
    assert logger.calls == []
