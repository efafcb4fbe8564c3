import json
from itertools import pairwise

import lightning.pytorch as pl
import pytest
import torch

from corrlight.callbacks import NonFiniteGuard
from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from tests.callbacks.small import Batches, make_trainer


class BrokenOnce:
    """A loss callback that is NaN in one step; the detector's outputs stay finite."""

    weight = 1.0

    def __init__(self, step):
        self.step, self.calls = step, 0

    def __call__(self, positives):
        self.calls += 1
        return positives.scores.sum() * (float("nan") if self.calls == self.step else 0.0)


class Weights(pl.Callback):
    """The classifier's weights after every step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.seen.append(pl_module.detector.classifier.weight.detach().clone())


def fit(folder, **options):
    torch.manual_seed(0)
    module = build_module(compose_config(["detector=atss_small", "corr=none"]).config)
    module.loss_callbacks = {"broken": BrokenOnce(step=2)}
    weights = Weights()
    trainer = make_trainer(
        folder, NonFiniteGuard(**options), weights, epochs=1, limit_val_batches=0
    )
    trainer.fit(module, datamodule=Batches(4))
    return weights.seen, trainer


def test_a_step_that_is_left_out_moves_nothing_and_is_counted(tmp_path, capsys):
    seen, trainer = fit(tmp_path, policy="skip")
    assert len(seen) == 4
    moved = [not torch.equal(a, b) for a, b in pairwise(seen)]
    assert moved == [False, True, True]
    assert all(w.isfinite().all() for w in seen)
    assert trainer.callback_metrics["train/skipped_steps"] == 1
    assert "left out (number 1)" in capsys.readouterr().out
    (file,) = (tmp_path / "non_finite").iterdir()
    record = json.loads(file.read_text())
    assert (record["batch"], record["image_ids"]) == (1, [102, 103])
    assert record["terms"]["loss_broken"] == "nan"


def test_by_default_the_run_ends_and_names_term_and_images(tmp_path):
    with pytest.raises(
        FloatingPointError, match=r"batch 2: terms \['loss_broken'\], images \[102"
    ) as e:
        fit(tmp_path)
    assert "Try a lower schedule.lr, or callbacks.non_finite.policy=skip" in str(e.value)


@pytest.mark.parametrize(
    ("options", "named"), [({"policy": "ignore"}, "policy"), ({"max_skipped": 0}, "max_skipped")]
)
def test_options_out_of_range(options, named):
    with pytest.raises(ValueError, match=f"Expected `{named}`"):
        NonFiniteGuard(**options)
