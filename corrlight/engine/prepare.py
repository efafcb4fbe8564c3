"""All parts of a run, built and checked before anything is written."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
from omegaconf import DictConfig, OmegaConf

from corrlight.engine.allocator import keep_freed_memory
from corrlight.engine.allowlist import instantiate
from corrlight.engine.build import build_data, build_module, build_trainer_parts, instantiate_all
from corrlight.engine.checkpoint import AtomicCheckpointIO
from corrlight.engine.checks import check_options, check_ranks
from corrlight.engine.config import ComposedConfig, to_container
from corrlight.engine.identity import follow_torchrun, identify
from corrlight.engine.last_epoch import ValidateLastEpoch
from corrlight.engine.recorder import EpochSeed, Recorder
from corrlight.engine.run_folder import RunFolder
from corrlight.engine.stopping import StopSignals
from corrlight.metrics.evaluator import DetectionEvaluator

__all__ = ["Run", "is_main_process", "make_trainer", "prepare"]


@dataclass(frozen=True, slots=True)
class Run:
    """Everything of a run that is known before it starts; building it has checked all input.

    Attributes:
        config: Resolved configuration.
        data: The data module.
        module: The detection module.
        trainer: The trainer, bound to ``folder``.
        recorder: Its rows and times.
        folder: Where results go.
        finished: Whether the folder holds the results already.
    """

    config: DictConfig
    data: Any
    module: Any
    trainer: pl.Trainer
    recorder: Recorder
    folder: RunFolder
    finished: bool


def prepare(composed: ComposedConfig) -> Run:
    """Build and check all parts of a run.

    Nothing is written yet; whatever is wrong with configuration or data raises ``ValueError`` or
    ``OSError`` here, before the first batch.
    """
    config = composed.config
    allow = list(config.get("allow_targets") or [])
    check_options(config)
    follow_torchrun(config)
    check_ranks(config)
    keep_freed_memory()
    pl.seed_everything(config.seed, workers=True, verbose=False)
    data = build_data(config, allow)
    data.prepare_data()
    data.setup("fit" if config.mode == "train" else "test")
    evaluator = _evaluator(config, data, allow)
    module = build_module(
        config,
        evaluator=evaluator,
        category_ids=data.category_ids,
        class_names=data.class_names,
        allow_targets=allow,
    )
    # Lightning builds the optimizer after training has begun; its options are checked now.
    module.build_optimizer(steps_per_epoch=1)
    plain = to_container(config)
    folder = identify(composed, data)
    recorder = Recorder(folder)
    trainer = make_trainer(config, folder, recorder, allow)
    return Run(
        config=OmegaConf.create(plain),
        data=data,
        module=module,
        trainer=trainer,
        recorder=recorder,
        folder=folder,
        finished=folder.finished,
    )


def _evaluator(config: DictConfig, data: Any, allow: list[str]) -> DetectionEvaluator:
    metrics = instantiate_all(config.get("metric"), allow)
    annotated, file = True, data.val_annotation_file
    if config.mode == "test":
        metrics |= instantiate_all(config.get("test_metric"), allow)
        annotated, file = data.test_annotated, data.test_annotation_file
    return DetectionEvaluator(
        file,
        data.category_ids,
        list(metrics.values()) if annotated else [],
        masks=bool(config.data.get("load_masks")) and annotated,
        annotated=annotated,
    )


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


def is_main_process() -> bool:
    """Return whether this process writes: rank 0, known before any process group exists.

    Lightning's launcher, torchrun and srun each name the rank in other variables.
    """
    environment = os.environ
    if "LOCAL_RANK" in environment:
        node = environment.get("GROUP_RANK", environment.get("NODE_RANK", "0"))
        return int(environment["LOCAL_RANK"]) == 0 and int(node) == 0
    if "SLURM_NTASKS" in environment:
        return int(environment.get("SLURM_PROCID", "0")) == 0
    return int(environment.get("NODE_RANK", "0")) == 0
