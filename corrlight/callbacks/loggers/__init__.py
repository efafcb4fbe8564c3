"""Where measures go beside ``metrics.csv``: one function a choice of ``logger``."""

from corrlight.callbacks.loggers.mlflow import mlflow_logger
from corrlight.callbacks.loggers.tensorboard import tensorboard_logger
from corrlight.callbacks.loggers.trackio import trackio_logger
from corrlight.callbacks.loggers.wandb import wandb_logger

__all__ = ["mlflow_logger", "tensorboard_logger", "trackio_logger", "wandb_logger"]
