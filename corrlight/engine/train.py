"""One run, from its configuration to a complete run folder."""

from __future__ import annotations

import logging
import math
import os
import signal
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import DictConfig, OmegaConf

from corrlight.arguments import check_choice
from corrlight.engine.agreement import RankAgreement
from corrlight.engine.allocator import keep_freed_memory
from corrlight.engine.allowlist import instantiate
from corrlight.engine.build import (
    build_data,
    build_module,
    build_trainer_parts,
    effective_lr,
    instantiate_all,
)
from corrlight.engine.checkpoint import AtomicCheckpointIO, load_weights, readable_checkpoint
from corrlight.engine.config import ComposedConfig, to_container
from corrlight.engine.environment import describe_environment
from corrlight.engine.identity import follow_torchrun, identify, ranks_per_node
from corrlight.engine.known_data import note_data
from corrlight.engine.last_epoch import ValidateLastEpoch
from corrlight.engine.recorder import EpochSeed, Recorder
from corrlight.engine.results import write_results
from corrlight.engine.run_folder import RunFolder
from corrlight.engine.stopping import RunStopped, StopSignals
from corrlight.engine.testing import BoundsAtTest, RawDumper, rounded_seconds, write_submission
from corrlight.metrics.evaluator import DetectionEvaluator
from corrlight.metrics.image_bounds import ImageBounds

__all__ = ["Run", "RunFolderError", "is_main_process", "prepare", "run_test", "run_train"]

log = logging.getLogger("corrlight")

# Ranks that fail with the main process have this long to say why.
_RANK_SECONDS = 10.0
# Processes that any machine takes: more than its cores only try a setting of many GPUs out.
_RANKS_ON_CPU = 8


class RunFolderError(ValueError):
    """A run folder that cannot be written or gone on from; the message is one line."""


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
    _check(config)
    follow_torchrun(config)
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
    trainer = _trainer(config, folder, recorder, allow)
    return Run(
        config=OmegaConf.create(plain),
        data=data,
        module=module,
        trainer=trainer,
        recorder=recorder,
        folder=folder,
        finished=folder.finished,
    )


def run_train(run: Run, composed: ComposedConfig) -> dict[str, Any]:
    """Train, evaluate and write the run folder; return the content of ``metrics.json``.

    A finished run is not made again, a broken one goes on from ``last.ckpt``.

    Raises:
        RunFolderError: The folder cannot be used; nothing was trained.
    """
    config, folder, trainer = run.config, run.folder, run.trainer
    main = is_main_process()
    if run.finished and not config.rerun:
        log.info("This run is finished: %s (rerun=true makes it again).", folder)
        metrics: dict[str, Any] = folder.read_json("metrics.json")
        return metrics
    try:
        resume_from = _open_folder(run) if main else _resume_checkpoint(run)
    except (ValueError, OSError) as error:
        raise RunFolderError(str(error)) from error
    if main:
        folder.write_yaml("config.yaml", to_container(config))
        folder.write_yaml("overrides.yaml", list(composed.overrides))
        environment = _start_environment(run)
        folder.write_json("environment.json", environment)
        for logger in trainer.loggers:
            logger.log_hyperparams(to_container(config))
    record = {**to_container(config), "run": folder.path.name, "resume_from": resume_from}
    trainer.callbacks.insert(0, RankAgreement(record))  # type: ignore[attr-defined]
    try:
        _fit(run, resume_from, environment if main else None)
        if main:
            write_results(folder, run.module.evaluation, {"num_epochs": trainer.current_epoch})
    finally:
        folder.unlock()
    return dict(run.module.evaluation.metrics)


def _fit(run: Run, resume_from: str | None, environment: dict[str, Any] | None) -> None:
    """Train and evaluate; on the main process write how it ended."""
    trainer = run.trainer
    started, status = time.perf_counter(), "failed"
    try:
        trainer.fit(run.module, datamodule=run.data, ckpt_path=resume_from)
        if run.module.evaluation is None:
            trainer.validate(run.module, datamodule=run.data, verbose=False)
        status = "finished"
    except RunStopped:
        status = "stopped"
        raise
    except SystemExit as error:
        # Lightning's own answers to Ctrl-C and SIGTERM; the latter would end with exit code 0.
        status = "stopped"
        stopped = isinstance(error, SIGTERMException)
        raise RunStopped(signal.SIGTERM if stopped else signal.SIGINT) from error
    finally:
        if status != "finished":
            _end_ranks(trainer)
        if environment is not None:
            environment["status"] = status
            environment["wall_seconds"] += round(time.perf_counter() - started, 2)
            environment["seconds_per_iteration"] = run.recorder.seconds_per_iteration
            environment["data_share"] = run.recorder.data_share
            measured = getattr(run.module.evaluation, "seconds", {})
            environment["measure_seconds"] = rounded_seconds(measured)
            run.folder.write_json("environment.json", environment)


def _end_ranks(trainer: pl.Trainer) -> None:
    """End the other ranks of this machine, which would wait for this one for ever."""
    launcher = trainer.strategy.launcher
    ranks = launcher.procs if isinstance(launcher, _SubprocessScriptLauncher) else []
    deadline = time.monotonic() + _RANK_SECONDS
    while time.monotonic() < deadline and any(rank.poll() is None for rank in ranks):
        time.sleep(0.1)
    for rank in ranks:
        if rank.poll() is None:
            rank.kill()


def run_test(run: Run, checkpoint: Path) -> dict[str, Any]:
    """Evaluate a checkpoint; results go to ``test/`` of its run folder, or beside the file.

    Images without annotations (``data.split=test-dev``) give the archive for the COCO server.
    """
    config, data, module = run.config, run.data, run.module
    load_weights(module, checkpoint)
    base = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else run.folder.path
    folder = RunFolder(base / data.test_split)
    folder.create()
    extras: list[pl.Callback] = []
    bounds = None
    if data.test_annotated:
        bounds = BoundsAtTest(ImageBounds(data.test_annotation_file, data.category_ids))
        extras.append(bounds)
    if config.dump_raw:
        extras.append(RawDumper(folder.path / "raw.npz", tuple(data.category_ids)))
    # Pictures of this test belong to its results, not to the run that the options would make.
    trainer = _trainer(config, folder, run.recorder, list(config.allow_targets), extras)
    if is_main_process():
        for logger in trainer.loggers:
            logger.log_hyperparams(to_container(config))
    started = time.perf_counter()
    trainer.test(module, datamodule=data, verbose=False)
    metrics = {**module.evaluation.metrics, **({} if bounds is None else bounds.values)}
    if is_main_process():
        seconds = {**module.evaluation.seconds}
        if bounds is not None:
            seconds["ImageBounds"] = bounds.seconds
        environment = {
            **describe_environment(),
            "status": "finished",
            "wall_seconds": round(time.perf_counter() - started, 2),
            "measure_seconds": rounded_seconds(seconds),
        }
        folder.write_yaml("config.yaml", to_container(config))
        folder.write_json("environment.json", environment)
        extra = {"checkpoint": checkpoint.name, **({} if bounds is None else bounds.values)}
        write_results(folder, module.evaluation, extra)
        if not data.test_annotated:
            name = base.parent.name if base.parent.name else "corrlight"
            for path in write_submission(folder.path, module.evaluation.detections, name):
                log.info("For the COCO server: %s", path)
        log.info("Results are in %s", folder)
    return metrics


def _check(config: DictConfig) -> None:
    if config.mode not in ("train", "test"):
        raise ValueError(f"Expected `mode` to be train or test, but got '{config.mode}'.")
    if not isinstance(config.seed, int) or config.seed < 0:
        raise ValueError(f"Expected `seed` to be a number of at least 0, but got {config.seed!r}.")
    for name in ("trainer.max_epochs", "data.batch_size", "trainer.check_val_every_n_epoch"):
        count = OmegaConf.select(config, name)
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"Expected `{name}` to be at least 1, but got {count!r}.")
    ranks, most = ranks_per_node(config), max(_RANKS_ON_CPU, os.cpu_count() or 1)
    if ranks > most and (config.trainer.accelerator == "cpu" or not torch.cuda.is_available()):
        raise ValueError(
            f"Expected `trainer.devices` to be at most {most} without GPUs, where every one is a "
            f"process of its own, but got {ranks}."
        )
    # Parameters stay float32: the other modes of Lightning cannot convert our batches.
    check_choice(
        "trainer.precision", config.trainer.precision, ("32-true", "bf16-mixed", "16-mixed")
    )
    clip = config.trainer.gradient_clip_val
    if clip is not None and not (isinstance(clip, (int, float)) and 0 < clip < math.inf):
        raise ValueError(
            f"Expected `trainer.gradient_clip_val` to be positive or null, but got {clip!r}."
        )


def _evaluator(config: DictConfig, data: Any, allow: list[str]) -> DetectionEvaluator:
    metrics = instantiate_all(config.metric, allow)
    annotated, file = True, data.val_annotation_file
    if config.mode == "test":
        metrics |= instantiate_all(config.test_metric, allow)
        annotated, file = data.test_annotated, data.test_annotation_file
    return DetectionEvaluator(
        file,
        data.category_ids,
        list(metrics.values()) if annotated else [],
        masks=bool(config.data.get("load_masks")) and annotated,
        annotated=annotated,
    )


def _trainer(
    config: DictConfig,
    folder: RunFolder,
    recorder: Recorder,
    allow: list[str],
    extras: Sequence[pl.Callback] = (),
) -> pl.Trainer:
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


def _open_folder(run: Run) -> str | None:
    folder, config = run.folder, run.config
    if config.rerun and folder.path.exists():
        folder.create()
        folder.lock()  # Not while another process is making it.
        folder.unlock()
        log.info("The earlier results are kept in %s", folder.set_aside())
    folder.create()
    folder.lock()
    note_data(config, run.data.annotation_files, config.data.num_classes)
    return _resume_checkpoint(run)


def _resume_checkpoint(run: Run) -> str | None:
    checkpoint, problem = readable_checkpoint(run.folder.last_checkpoint.parent)
    if checkpoint is None:
        return None
    if not run.config.resume:
        raise ValueError(
            f"The run {run.folder} is half-made and resume=false: resume=true goes on from its "
            f"last checkpoint, rerun=true starts it anew."
        )
    if problem and is_main_process():
        log.warning("%s; going on from the one before it.", problem)
    log.info("Resuming from %s", checkpoint)
    return str(checkpoint)


def _start_environment(run: Run) -> dict[str, Any]:
    try:
        before = float(run.folder.read_json("environment.json")["wall_seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        before = 0.0
    return {
        **describe_environment(),
        "seed": run.config.seed,
        "lr": effective_lr(run.config),
        "world_size": ranks_per_node(run.config) * int(run.config.trainer.num_nodes),
        "status": "running",
        "wall_seconds": before,
        "seconds_per_iteration": None,
        "data_share": None,
    }


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
