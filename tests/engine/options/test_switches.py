import math

import lightning.pytorch as pl
import pytest
import torch
from omegaconf import OmegaConf
from torch.optim.swa_utils import AveragedModel

from corrlight.config.compose import compose_config, to_container
from corrlight.engine.options.switches import EarlyEnd, RampedAverage, ramped_decay, switched_on
from corrlight.runs.identity import relevant_options


def config(**changed):
    plain = {"mode": "train", "ema": False, "patience": None, "optimized_metric": "val/AP"}
    return OmegaConf.create({**plain, **changed})


def test_both_are_off_and_off_in_tests():
    assert switched_on(config()) == []
    assert switched_on(config(ema=True, patience=3, mode="test")) == []


def test_the_average_is_the_formula():
    model = torch.nn.Linear(2, 1)
    averaged = AveragedModel(model, multi_avg_fn=RampedAverage(0.5)._kwargs["multi_avg_fn"])
    expected = None
    for step in range(12):
        with torch.no_grad():
            model.weight.fill_(float(step) ** 2)
        averaged.update_parameters(model)
        if expected is None:
            expected = 0.0  # The first is a copy.
        else:
            keep = min(0.5, step / (9 + step))
            expected = keep * expected + (1 - keep) * float(step) ** 2
    assert averaged.module.weight[0, 0].item() == pytest.approx(expected, rel=1e-6)


def test_the_ramp_ends_at_the_decay():
    values = [ramped_decay(0.99, k) for k in range(2000)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(0.1)
    assert values[-1] == 0.99


class Measured(pl.LightningModule):
    """Logs given measures, one an epoch."""

    def __init__(self, values, name):
        super().__init__()
        self.values, self.name = values, name
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch, _):
        return self.weight.sum()

    def validation_step(self, batch, _):
        self.log(self.name, torch.tensor(self.values[self.current_epoch]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize(
    ("name", "values", "epochs"),
    [
        ("val/AP", [0.1, 0.3, 0.2, 0.3, 0.9, 0.9], 4),
        ("val/oLRP", [0.9, 0.8, 0.7, 0.7, 0.75, 0.1], 5),
        ("val/AP", [math.nan, 0.1, math.nan, math.nan, 0.3, 0.3], 4),
        ("val/AP", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 6),
    ],
)
def test_a_training_ends_after_so_many_worse_validations(tmp_path, name, values, epochs):
    module = Measured(values, name)
    trainer = pl.Trainer(
        max_epochs=6, callbacks=[EarlyEnd(name, 2)], accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path, num_sanity_val_steps=0,
    )  # fmt: skip
    loader = torch.utils.data.DataLoader([0.0, 1.0])
    trainer.fit(module, loader, loader)
    assert trainer.current_epoch == epochs


def test_a_count_is_no_measure(tmp_path):
    with pytest.raises(ValueError, match="the count 'val/num_detections'"):
        EarlyEnd("val/num_detections", 2).setup(None, Measured([], ""), "fit")


def test_runs_without_them_keep_their_ids():
    plain = to_container(compose_config(["data.num_classes=8"]).config)
    without = {k: v for k, v in plain.items() if k not in ("ema", "patience")}
    assert relevant_options(plain) == relevant_options(without)
    for changed in ({"ema": True}, {"ema": 0.99}, {"patience": 3}):
        assert relevant_options({**plain, **changed}) != relevant_options(plain)
