"""Lightning callbacks and loggers that a configuration names."""

from corrlight.callbacks.checkpoints import RunCheckpoint
from corrlight.callbacks.loggers import (
    mlflow_logger,
    tensorboard_logger,
    trackio_logger,
    wandb_logger,
)
from corrlight.callbacks.non_finite import NonFiniteGuard
from corrlight.callbacks.panels import MeasurePanels
from corrlight.callbacks.progress import EpochProgress
from corrlight.callbacks.visualize import DetectionPictures

__all__ = [
    "DetectionPictures",
    "EpochProgress",
    "MeasurePanels",
    "NonFiniteGuard",
    "RunCheckpoint",
    "mlflow_logger",
    "tensorboard_logger",
    "trackio_logger",
    "wandb_logger",
]
