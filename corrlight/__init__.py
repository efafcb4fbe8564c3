"""Correlation Loss for object detectors: train, measure and compare."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from os import PathLike
from typing import Any

__version__ = "0.1.0"

# Part of every run id; raised by each commit that changes numbers.
RESULTS_VERSION = 3

__all__ = ["RESULTS_VERSION", "__version__", "load"]


def load(run: str | PathLike[str], device: Any = "auto", allow_targets: Sequence[str] = ()) -> Any:
    """Return the model of a run: ``corrlight.load(RUN).predict(pictures)``.

    Args:
        run: A run folder or one of its checkpoints.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto": a GPU where there is one.
        allow_targets: Modules of your own that the run's parts come from.

    Returns:
        A :class:`corrlight.predict.model.Model`.

    Raises:
        FileNotFoundError: There is no such run or checkpoint.
        ValueError: It is not one of a training.
    """
    # By name: torch takes seconds to import, and most commands need none of it.
    return import_module("corrlight.predict.load").load(run, device, allow_targets)
