import lightning.pytorch as pl
import pytest

from corrlight.engine.last_epoch import ValidateLastEpoch
from tests.callbacks.small import Batches, PerfectDetector, make_trainer


class Validated(pl.Callback):
    def __init__(self):
        self.epochs = []

    def on_validation_start(self, trainer, pl_module):
        self.epochs.append(trainer.current_epoch)


@pytest.mark.parametrize(("every", "expected"), [(1, [0, 1, 2, 3]), (3, [2, 3]), (9, [3])])
def test_the_last_of_four_epochs_is_validated(tmp_path, every, expected):
    seen = Validated()
    trainer = make_trainer(
        tmp_path, ValidateLastEpoch(), seen, epochs=4, check_val_every_n_epoch=every,
        num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(PerfectDetector(), Batches(2))
    assert seen.epochs == expected
