"""Lightning callbacks and loggers that a configuration names."""

from corrlight.callbacks.checkpoints import RunCheckpoint
from corrlight.callbacks.non_finite import NonFiniteGuard
from corrlight.callbacks.panels import MeasurePanels
from corrlight.callbacks.progress import EpochProgress
from corrlight.callbacks.visualize import DetectionPictures
from corrlight.callbacks.wandb import wandb_logger

__all__ = [
    "DetectionPictures",
    "EpochProgress",
    "MeasurePanels",
    "NonFiniteGuard",
    "RunCheckpoint",
    "wandb_logger",
]
