"""A module that detects the objects themselves, and data for it."""

import time

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ProgressBar
from torch.utils.data import DataLoader

from corrlight.structures import Batch, Detections, StepOutput, Targets

MEAN, STD = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)
PIXEL = (10.0, 200.0, 90.0)  # of every image


def make_batch(index, size=2, height=40, width=60):
    """Images of one colour, 48 pixels wide inside a batch of 60, with one object each."""
    color = (torch.tensor(PIXEL) - torch.tensor(MEAN)) / torch.tensor(STD)
    images = torch.zeros(size, 3, height, width)
    images[:, :, :, :48] = color[:, None, None]
    targets = tuple(
        Targets(
            boxes=torch.tensor([[8.0, 10.0, 28.0, 30.0]]),
            labels=torch.tensor([1]),
            valid_size=(height, 48),
            padded_size=(height, width),
            original_size=(80, 96),
            image_id=100 + index * size + k,
        )
        for k in range(size)
    )
    return Batch(images=images, targets=targets)


class Batches(pl.LightningDataModule):
    """Some batches with the constants of the normalisation."""

    mean, std = MEAN, STD

    def __init__(self, num_batches=4):
        super().__init__()
        self.batches = [make_batch(k) for k in range(num_batches)]

    def _loader(self):
        return DataLoader(self.batches, batch_size=None)

    train_dataloader = val_dataloader = test_dataloader = _loader


class PerfectDetector(pl.LightningModule):
    """Finds every object with score 0.9; logs a loss and fixed measures."""

    class_names = ("circle", "star")

    def __init__(self, measures=(("AP", 0.25), ("beta_cls", float("nan"))), seconds=0.0):
        super().__init__()
        self.seconds = seconds  # of a training step
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.measures = dict(measures)

    def training_step(self, batch, batch_idx):
        time.sleep(self.seconds)
        loss = self.weight * (2.0 if batch_idx % 2 else 1.0)
        self.log("train/loss", loss.detach(), on_step=True, on_epoch=True, batch_size=len(batch))
        return loss * 0.0

    def validation_step(self, batch, batch_idx):
        found = [
            Detections(
                boxes=t.boxes,
                scores=torch.tensor([0.9]),
                labels=t.labels,
                pred_idx=torch.zeros(1, dtype=torch.int64),
            )
            for t in batch.targets
        ]
        nothing = {"terms": {}, "counts": {}, "predictions": [], "positives": []}
        return StepOutput(loss=torch.zeros(()), detections=found, **nothing)

    test_step = validation_step

    def on_validation_epoch_end(self):
        self.log_dict({f"val/{k}": v for k, v in self.measures.items()}, batch_size=1)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.02)


def make_trainer(folder, *callbacks, epochs=2, **options):
    """A silent trainer on the CPU."""
    bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
    options = {"logger": False, "enable_checkpointing": False, **options}
    return pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=str(folder),
        callbacks=list(callbacks),
        enable_model_summary=False,
        enable_progress_bar=bar,
        **options,
    )
