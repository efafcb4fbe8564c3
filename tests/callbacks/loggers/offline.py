"""Two jobs of one run with a logger, in a process that may not use the network."""

import math
import socket

import pytest

from tests.callbacks.small import Batches, PerfectDetector, make_trainer

CONFIG = {"mode": "train", "seed": 7, "corr": {"weight": 0.3, "coefficient": "concordance"}}


@pytest.fixture
def offline(monkeypatch):
    """Fail whatever asks for another machine."""

    def refuse(self, address, *args):
        raise AssertionError(f"a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def job(make_logger, run, epochs, checkpoint=None):
    """Train until ``epochs`` with a logger of its own, as one process would; return it."""
    run.mkdir(parents=True, exist_ok=True)
    logger = make_logger(save_dir=str(run))
    assert [p.name for p in run.iterdir() if p.suffix not in (".ckpt", ".json")] in (
        [],
        [next(iter(run.glob("*/")), run).name],
    )
    logger.log_hyperparams(CONFIG)
    trainer = make_trainer(
        run, epochs=epochs, logger=logger, log_every_n_steps=1, num_sanity_val_steps=0
    )
    trainer.fit(PerfectDetector(), datamodule=Batches(2), ckpt_path=checkpoint)
    trainer.save_checkpoint(run / "last.ckpt")
    return logger


def two_jobs(make_logger, run):
    """Train for one epoch and resume for another, two steps each."""
    job(make_logger, run, 1)
    return job(make_logger, run, 2, run / "last.ckpt")


def check_history(history):
    """Check the measures of both jobs: name to a list of (step, value)."""
    assert history["val/AP"] == [(1, 0.25), (3, 0.25)]
    assert [step for step, _ in history["val/beta_cls"]] == [1, 3]
    assert all(math.isnan(value) for _, value in history["val/beta_cls"])
    assert [step for step, _ in history["train/loss_step"]] == [0, 1, 2, 3]
    assert [value for _, value in history["train/loss_step"]] == [1.0, 2.0, 1.0, 2.0]
