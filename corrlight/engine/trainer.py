"""The trainer of a run: Lightning's, with what a run folder needs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

import lightning.pytorch as pl
from omegaconf import DictConfig

from corrlight.config.allowlist import instantiate
from corrlight.config.build import build_trainer_parts
from corrlight.engine.checkpoint import AtomicCheckpointIO
from corrlight.engine.epoch_seed import EpochSeed
from corrlight.engine.faults.memory import BatchWatch
from corrlight.engine.last_epoch import ValidateLastEpoch
from corrlight.engine.options.switches import switched_on
from corrlight.engine.stopping import StopSignals
from corrlight.runs.folder import RunFolder
from corrlight.runs.recorder import Recorder

__all__ = ["make_trainer"]


def make_trainer(
    config: DictConfig,
    folder: RunFolder,
    recorder: Recorder,
    allow: list[str],
    extras: Sequence[pl.Callback] = (),
) -> pl.Trainer:
    """Return the trainer of ``config`` with our callbacks and ``extras``, writing to ``folder``."""
    parts = build_trainer_parts(config, str(folder.path), allow)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Few workers are a choice here: small data is decoded once and kept.
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*is smaller than the logging interval.*")
    # Every rank logs the measures of the one evaluation.
    warnings.filterwarnings("ignore", ".*when logging on epoch level in distributed setting.*")
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    return instantiate(
        config.trainer,
        allow,
        callbacks=[
            EpochSeed(config.seed),
            ValidateLastEpoch(),
            BatchWatch(),
            *switched_on(config),
            *parts.callbacks,
            *extras,
            recorder,
            StopSignals(folder),
        ],
        logger=parts.logger,
        default_root_dir=str(folder.path),
        plugins=[AtomicCheckpointIO()],
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        enable_model_summary=False,
    )
