import random

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from corrlight.engine.epoch_seed import EpochSeed
from tests.callbacks.small import Batches, PerfectDetector, make_trainer


class Draws(pl.Callback):
    """Draws from every generator in each step, and may save after one of them."""

    def __init__(self, save_after=None, path=None):
        self.seen, self.save_after, self.path = {}, save_after, path

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        drawn = (random.random(), np.random.rand(), float(torch.rand(())))  # noqa: NPY002
        self.seen[trainer.current_epoch, batch_idx] = drawn

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == self.save_after:
            trainer.save_checkpoint(self.path)


class OwnGenerator(Batches):
    """Its loader does not draw from the global generator, as those of our data do not."""

    def _loader(self):
        return DataLoader(self.batches, batch_size=None, generator=torch.Generator())

    train_dataloader = val_dataloader = _loader


def drawn(folder, seed=3, resume=None, **options):
    draws = Draws(**options)
    trainer = make_trainer(folder, EpochSeed(seed), draws, epochs=2)
    trainer.fit(PerfectDetector(), OwnGenerator(4), ckpt_path=resume)
    return draws.seen


def test_an_epoch_depends_on_seed_and_epoch_alone(tmp_path):
    first = drawn(tmp_path)
    random.seed(9)
    torch.manual_seed(9)
    assert drawn(tmp_path) == first
    assert len({*first.values()}) == 8
    assert drawn(tmp_path, seed=4)[0, 0] != first[0, 0]


@pytest.mark.parametrize("step", [(0, 1), (1, 2)])
def test_a_resumed_training_draws_what_the_whole_one_did(tmp_path, step):
    path = tmp_path / "x.ckpt"
    whole = drawn(tmp_path, save_after=step, path=path)
    resumed = drawn(tmp_path, resume=path)
    assert resumed.keys() == {key for key in whole if key > step}
    assert resumed == {key: whole[key] for key in resumed}
