"""One test of a checkpoint, from its configuration to a folder of results."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from corrlight.config.compose import to_container
from corrlight.config.ranks import is_main_process
from corrlight.engine.bounds_and_dump import BoundsAtTest, RawDumper
from corrlight.engine.checkpoint import load_weights
from corrlight.engine.faults.disk import explain_full_disk
from corrlight.engine.faults.memory import explain_shortage
from corrlight.engine.faults.rendezvous import explain_port
from corrlight.engine.prepare import Run
from corrlight.engine.stopping import end_ranks, stopped_by
from corrlight.engine.trainer import make_trainer
from corrlight.metrics.image_bounds import ImageBounds
from corrlight.runs.environment import describe_environment
from corrlight.runs.folder import LAST, PREVIOUS, RunFolder
from corrlight.runs.identity import relevant_options
from corrlight.runs.results import rounded_seconds, write_results
from corrlight.runs.submission import write_submission

__all__ = ["run_test"]

log = logging.getLogger("corrlight")

_TEST_DEV = ("test_dev_images", "test_dev_annotations")


def run_test(run: Run, checkpoint: Path) -> dict[str, Any]:
    """Evaluate a checkpoint; return the measures.

    Results go to ``test/`` of the checkpoint's run folder; with another checkpoint than the last,
    or options that are not the run's, to a folder of their own beside it. The results of any other
    file go beside it. Images without annotations (``data.split=test-dev``) give the archive for
    the COCO server; other such images than the first have a folder of their own, too.

    Raises:
        RunStopped: SIGTERM or Ctrl-C.
        DiskFullError: The disk of the folder is full.
        MemoryShortageError: Memory ran out.
    """
    config, data, module = run.config, run.data, run.module
    epoch = load_weights(module, checkpoint, run.class_rows)
    said = "" if epoch is None else f", epoch {epoch + 1}"
    log.info("Testing %s%s", checkpoint, said)
    folder = _test_folder(to_container(config), checkpoint, data.test_split)
    with explain_full_disk(folder.path):
        return _measure(run, checkpoint, folder)


def _measure(run: Run, checkpoint: Path, folder: RunFolder) -> dict[str, Any]:
    config, data, module = run.config, run.data, run.module
    folder.create()
    extras: list[pl.Callback] = []
    bounds = None
    if data.test_annotated:
        bounds = BoundsAtTest(ImageBounds(data.test_annotation_file, data.test_category_ids))
        extras.append(bounds)
    if config.dump_raw:
        extras.append(RawDumper(folder.path / "raw.npz", tuple(data.test_category_ids)))
    # Pictures of this test belong to its results, not to the run that the options would make.
    trainer = make_trainer(config, folder, run.recorder, list(config.allow_targets), extras)
    if is_main_process():
        for logger in trainer.loggers:
            logger.log_hyperparams(to_container(config))
    started, ended = time.perf_counter(), False
    try:
        with explain_port(), explain_shortage(trainer, config):
            trainer.test(module, datamodule=data, verbose=False)
        ended = True
    except SystemExit as error:
        raise stopped_by(error) from error
    finally:
        if not ended:
            end_ranks(trainer)
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
            name = folder.path.absolute().parents[1].name or "corrlight"
            for path in write_submission(folder.path, module.evaluation.detections, name):
                log.info("For the COCO server: %s", path)
        log.info("Results are in %s", folder)
    return metrics


def _test_folder(config: dict[str, Any], checkpoint: Path, split: str) -> RunFolder:
    """Return where the results of a test go: two different tests never share a folder."""
    trained = RunFolder(checkpoint.absolute().parent.parent)
    # Another folder of a run (a copy, say) may hold another file of the same name.
    own = _stored_config(trained) if checkpoint.absolute().parent.name == "checkpoints" else None
    asked = _question(config, split)
    if own is None:
        plain = checkpoint.with_name(f"{checkpoint.stem}-{split}")
        first = _stored_config(RunFolder(plain))
        # Of two files, `theirs.pth` and `theirs.ckpt`, the stem is the same.
        other = first is not None and Path(str(first.get("ckpt"))).name != checkpoint.name
        if other:
            asked["checkpoint"] = checkpoint.name
    else:
        named = checkpoint.name not in (LAST, PREVIOUS)
        plain = trained.path / (f"{split}-{checkpoint.stem}" if named else split)
        first, other = own, False
        if split != "test" and _without_data(own, split) == _without_data(config, split):
            # Other data than the run's anyway: who comes first has the plain name.
            first = _stored_config(RunFolder(plain))
    if first is not None and (other or _question(first, split) != asked):
        text = json.dumps(asked, sort_keys=True, default=str)
        return RunFolder(f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}")
    return RunFolder(plain)


def _stored_config(folder: RunFolder) -> dict[str, Any] | None:
    """Return the options in a folder, None where there are none or they are damaged."""
    try:
        config = folder.read_yaml("config.yaml")
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) else None


def _question(config: dict[str, Any], split: str) -> dict[str, Any]:
    """Return what decides the results of a test; which measures are taken does not."""
    asked = {k: v for k, v in relevant_options(config).items() if k != "metric"}
    data = config.get("data")
    if split != "test" and isinstance(data, dict):  # Of no interest to any other run.
        asked["data"] = {**asked["data"], **{k: data.get(k) for k in _TEST_DEV}}
    return asked


def _without_data(config: dict[str, Any], split: str) -> dict[str, Any]:
    return {k: v for k, v in _question(config, split).items() if k != "data"}
