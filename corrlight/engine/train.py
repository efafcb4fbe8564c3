"""One training, from its parts to a complete run folder."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import asdict
from typing import Any

from corrlight.config.build import effective_lr
from corrlight.config.compose import ComposedConfig, to_container
from corrlight.config.ranks import is_main_process, ranks_per_node
from corrlight.engine.agreement import RankAgreement
from corrlight.engine.checkpoint import discard_unreadable, readable_checkpoint
from corrlight.engine.faults.disk import explain_full_disk, is_full_disk
from corrlight.engine.faults.memory import explain_shortage
from corrlight.engine.faults.rendezvous import explain_port
from corrlight.engine.prepare import Run
from corrlight.engine.stopping import RunStopped, end_ranks, stopped_by
from corrlight.runs.environment import describe_environment
from corrlight.runs.folder import BEST
from corrlight.runs.initial import initial_file
from corrlight.runs.known_data import note_data
from corrlight.runs.replay import replay
from corrlight.runs.results import rounded_seconds, write_results

__all__ = ["RunFolderError", "run_train"]

log = logging.getLogger("corrlight")


class RunFolderError(ValueError):
    """A run folder that cannot be written or gone on from; the message is one line."""


def run_train(run: Run, composed: ComposedConfig) -> dict[str, Any]:
    """Train, evaluate and write the run folder; return the content of ``metrics.json``.

    A finished run is not made again, a broken one goes on from ``last.ckpt``.

    Raises:
        RunFolderError: The folder cannot be used; nothing was trained.
        DiskFullError: The disk of the folder is full.
        MemoryShortageError: Memory ran out.
    """
    with explain_full_disk(run.folder.path):
        return _train(run, composed)


def _train(run: Run, composed: ComposedConfig) -> dict[str, Any]:
    config, folder, trainer = run.config, run.folder, run.trainer
    main = is_main_process()
    if run.finished and not config.rerun:
        log.info("This run is finished: %s (rerun=true makes it again).", folder)
        if main:
            replay(trainer.loggers, folder, to_container(config))
        metrics: dict[str, Any] = folder.read_json("metrics.json")
        return metrics
    try:
        try:
            resume_from = _open_folder(run) if main else _resume_checkpoint(run)
        except (ValueError, OSError) as error:
            if is_full_disk(error):
                raise
            raise RunFolderError(str(error)) from error
        if main:
            folder.write_yaml("config.yaml", to_container(config))
            folder.write_yaml("overrides.yaml", list(composed.overrides))
            environment = {**_start_environment(run), "choices": dict(composed.choices)}
            folder.write_json("environment.json", environment)
            for logger in trainer.loggers:
                logger.log_hyperparams(to_container(config))
        record = {**to_container(config), "run": folder.path.name, "resume_from": resume_from}
        trainer.callbacks.insert(0, RankAgreement(record))  # type: ignore[attr-defined]
        _fit(run, resume_from, environment if main else None)
        if main and not _is_trial(run):
            write_results(folder, run.module.evaluation, {"num_epochs": trainer.current_epoch})
    finally:
        held = folder.unlock()
        if held and _is_trial(run):
            shutil.rmtree(folder.path, ignore_errors=True)
            log.info("A trial of a few batches (trainer.fast_dev_run): no run is kept.")
    return dict(run.module.evaluation.metrics)


def _is_trial(run: Run) -> bool:
    """Whether a few batches are only to show that all parts work: no result, no checkpoint."""
    return bool(getattr(run.trainer, "fast_dev_run", False))


def _fit(run: Run, resume_from: str | None, environment: dict[str, Any] | None) -> None:
    """Train and evaluate; on the main process write how it ended."""
    trainer = run.trainer
    started, status = time.perf_counter(), "failed"
    try:
        with explain_port(), explain_shortage(trainer, run.config):
            trainer.fit(run.module, datamodule=run.data, ckpt_path=resume_from)
            if run.module.evaluation is None:
                trainer.validate(run.module, datamodule=run.data, verbose=False)
        status = "finished"
    except RunStopped:
        status = "stopped"
        raise
    except SystemExit as error:
        status = "stopped"
        raise stopped_by(error) from error
    finally:
        if status != "finished":
            end_ranks(trainer)
        if environment is not None:
            environment["status"] = status
            environment["wall_seconds"] += round(time.perf_counter() - started, 2)
            environment["seconds_per_iteration"] = run.recorder.seconds_per_iteration
            environment["data_share"] = run.recorder.data_share
            measured = getattr(run.module.evaluation, "seconds", {})
            environment["measure_seconds"] = rounded_seconds(measured)
            run.folder.write_last_words("environment.json", environment)


def _open_folder(run: Run) -> str | None:
    folder, config = run.folder, run.config
    if config.rerun and folder.path.exists():
        folder.create()
        folder.lock()  # Not while another process is making it.
        log.info("The earlier results are kept in %s", folder.set_aside())
        folder.unlock()
    folder.create()
    folder.lock()
    folder.remove_leftovers()
    data = run.data
    note_data(config, data.annotation_files, data.image_folders, config.data.num_classes)
    return _resume_checkpoint(run)


def _resume_checkpoint(run: Run) -> str | None:
    if run.config.rerun:
        # The earlier run is set aside, which ranks may see before or after it is done.
        return _beginning(run)
    checkpoint, problem = readable_checkpoint(
        run.folder.last_checkpoint.parent, run.module.on_load_checkpoint
    )
    if checkpoint is None:
        return _beginning(run)
    if not run.config.resume:
        raise ValueError(
            f"The run {run.folder} is half-made and resume=false: resume=true goes on from its "
            f"last checkpoint, rerun=true starts it anew."
        )
    if problem and is_main_process():
        log.warning("%s; going on from the one before it.", problem)
        # The next checkpoint must not make it the previous one.
        discard_unreadable(checkpoint.parent)
    log.info("Resuming from %s", checkpoint)
    return str(checkpoint)


def _beginning(run: Run) -> str | None:
    """Return the last checkpoint of the finished run that this one goes on with, or None."""
    if run.config.extend is None:
        return None
    path = initial_file(run.config.extend, "extend")
    if is_main_process():
        # The best epoch so far may stay the best.
        best = path.with_name(BEST)
        if best.is_file():
            shutil.copyfile(best, run.folder.checkpoint(BEST))
    log.info("Going on with %s", path)
    return str(path)


def _start_environment(run: Run) -> dict[str, Any]:
    try:
        before = float(run.folder.read_json("environment.json")["wall_seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        before = 0.0
    return {
        **describe_environment(),
        "seed": run.config.seed,
        "init": None if run.transfer is None else asdict(run.transfer),
        "lr": effective_lr(run.config),
        "world_size": ranks_per_node(run.config) * int(run.config.trainer.num_nodes),
        "status": "running",
        "wall_seconds": before,
        "seconds_per_iteration": None,
        "data_share": None,
    }
