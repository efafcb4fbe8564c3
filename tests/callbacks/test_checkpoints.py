from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch

from corrlight.callbacks import RunCheckpoint


class Model(pl.LightningModule):
    """Logs what it is told, epoch by epoch."""

    def __init__(self, name, values, metrics=()):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.name, self.values = name, values
        self.evaluator = SimpleNamespace(metrics=metrics) if metrics else None

    def training_step(self, batch, index):
        return self.weight.sum() + 1.0

    def validation_step(self, batch, index):
        self.log(self.name, self.values[self.current_epoch])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def best_epoch(tmp_path, callback, model):
    trainer = pl.Trainer(
        default_root_dir=str(tmp_path), max_epochs=3, callbacks=[callback], logger=False,
        accelerator="cpu", enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0,
    )  # fmt: skip
    data = torch.utils.data.DataLoader(torch.zeros(1, 1))
    trainer.fit(model, data, data)
    return torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=False)["epoch"]


VALUES = [0.5, 0.9, 0.1]


@pytest.mark.parametrize(
    ("name", "epoch"),
    [
        ("val/AP", 1),
        ("val/beta_cls", 1),
        ("val/oLRP", 2),
        ("val/oLRP_Loc", 2),
        ("val/mask_oLRP_FP", 2),
        ("val/calibration_error", 2),
        ("val/loss", 2),
        ("val/loss_corr", 2),
    ],
)
def test_best_is_what_the_measure_calls_so(tmp_path, name, epoch):
    assert best_epoch(tmp_path, RunCheckpoint(name), Model(name, VALUES)) == epoch


def test_a_metric_of_ones_own_says_so_itself(tmp_path):
    metric = SimpleNamespace(smaller_is_better=("gap",))
    model = Model("val/gap", VALUES, [metric])
    assert best_epoch(tmp_path, RunCheckpoint("val/gap"), model) == 2


@pytest.mark.parametrize(("mode", "epoch"), [("max", 1), ("min", 2)])
def test_what_is_asked_for_wins(tmp_path, mode, epoch):
    callback = RunCheckpoint("val/num_detections", mode=mode)
    assert best_epoch(tmp_path, callback, Model("val/num_detections", VALUES)) == epoch


def test_a_count_is_better_neither_way(tmp_path):
    with pytest.raises(ValueError, match=r"count 'val/num_detections' \(callbacks.checkpoint.mode"):
        best_epoch(tmp_path, RunCheckpoint("val/num_detections"), Model("val/num_detections", [1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"mode": "highest"}, "`mode`"), ({"every_n_steps": 0}, "`every_n_steps`")],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        RunCheckpoint(**options)
