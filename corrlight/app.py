"""The command line of ``run.py``: Hydra's overrides in, an exit code out."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from corrlight.engine.config import (
    ComposedConfig,
    ConfigError,
    compose_config,
    config_dir,
    override_key,
)
from corrlight.engine.status import STATUS_FILE

__all__ = ["main", "run"]

log = logging.getLogger("corrlight")

# Exit codes: the input was wrong; the run failed; the user stopped it.
BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not any(argument.startswith("-") for argument in arguments):
        return run(arguments)
    from hydra._internal.utils import get_args_parser

    flags = get_args_parser().parse_args(arguments)
    overrides = list(flags.overrides)
    if flags.config_dir:
        # As an override it reaches the jobs of a sweep and the ranks of a run as well.
        overrides.append(f"hydra.searchpath=[{Path(flags.config_dir).resolve().as_uri()}]")
    shows = flags.help or flags.hydra_help or flags.cfg or flags.info or flags.shell_completion
    if shows:
        return _through_hydra(arguments)
    return _guarded(lambda: _sweep(overrides)) if flags.multirun else run(overrides)


def run(overrides: Sequence[str]) -> int:
    """Compose, check and run one job; every error of the input is one line on stderr.

    A configuration that asks for a sweep (``hydra.mode: MULTIRUN`` in an experiment) is one.
    """

    def job() -> int:
        stored, own, checkpoint = _stored(overrides)
        composed = compose_config([*stored, *own])
        if composed.multirun:
            return _sweep(own)
        return _run(composed, checkpoint)

    return _guarded(job)


def _guarded(job: Callable[[], int]) -> int:
    try:
        return job()
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        return INTERRUPTED
    except (ConfigError, ValueError, OSError) as error:
        if os.environ.get("CORRLIGHT_TRACEBACK"):
            traceback.print_exc()
        message = " ".join(str(error).split())
        print(f"error: {message}", file=sys.stderr)
        return BAD_INPUT


def _sweep(overrides: Sequence[str]) -> int:
    if os.environ.get(STATUS_FILE) or int(os.environ.get("LOCAL_RANK", "0")):
        # A job or a rank that starts a sweep would start itself again, without end.
        raise ValueError("Expected one run in a job of a sweep, but got hydra.mode=MULTIRUN.")
    from corrlight.engine.plugins import multirun

    return multirun(overrides)


def _run(composed: ComposedConfig, checkpoint: Path | None) -> int:
    # torch and lightning take seconds to import: a misspelt option should not wait for them.
    from corrlight.engine.agreement import RankMismatchError
    from corrlight.engine.stopping import RunStopped
    from corrlight.engine.train import (
        RunFolderError,
        is_main_process,
        prepare,
        run_test,
        run_train,
    )
    from corrlight.reporting.summary import print_metrics, print_run, write_figures

    prepared = prepare(composed)
    main_process = is_main_process()
    if composed.config.mode == "test":
        if checkpoint is None:
            raise ValueError("Expected `ckpt` to be a run folder or a checkpoint in mode=test.")
        metrics = run_test(prepared, checkpoint)
        if main_process:
            print_metrics(metrics)
        return 0
    if main_process and not prepared.finished:
        print_run(prepared, composed)
    try:
        metrics = run_train(prepared, composed)
        if main_process:
            write_figures(prepared.folder.path)
    except RunStopped as stopped:
        if main_process:
            print("Stopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        return 128 + stopped.signum
    except (RankMismatchError, RunFolderError):
        raise
    except (ValueError, OSError, FloatingPointError):
        # The input was checked: this is a fault while training, and where it happened matters.
        traceback.print_exc()
        return FAILED
    if main_process:
        print_metrics(metrics, prepared.folder.path)
    return 0


def _stored(overrides: Sequence[str]) -> tuple[list[str], list[str], Path | None]:
    """Split a command that continues a run folder into the folder's overrides and its own.

    ``ckpt=RUN_FOLDER`` and ``resume=RUN_FOLDER`` take the folder's overrides, so that nothing has
    to be typed again; options given beside them win.
    """
    own = list(overrides)
    named = {key: value for key, _, value in (o.partition("=") for o in own)}
    target = named.get("ckpt") or named.get("resume", "")
    if not target or target.lower() in ("true", "false", "null", "none"):
        return [], own, None
    path = Path(target)
    if not path.exists():
        raise FileNotFoundError(f"Expected a run folder or a checkpoint, but there is no {path}.")
    folder = path if path.is_dir() else path.parent.parent
    stored_file = folder / "overrides.yaml"
    if not stored_file.is_file():
        if path.is_dir():
            raise FileNotFoundError(f"Expected a run folder, but {path} has no overrides.yaml.")
        return [], own, path
    stored = yaml.safe_load(stored_file.read_text(encoding="utf-8")) or []
    if not isinstance(stored, list) or not all(isinstance(o, str) for o in stored):
        raise ValueError(f"Expected a list of overrides in {stored_file}.")
    if "resume" in named:
        own = ["resume=true" if o.startswith("resume=") else o for o in own]
    # Code is not allowed by what a folder says.
    left_out = {*named, "resume", "rerun", "allow_targets"}
    kept = [o for o in stored if override_key(o) not in left_out]
    checkpoint = path / "checkpoints" / "last.ckpt" if path.is_dir() else path
    return kept, own, checkpoint


def _through_hydra(arguments: list[str]) -> int:
    """Let Hydra handle the flags that only show something (--help, --cfg, --info, ...)."""
    import hydra
    from omegaconf import DictConfig

    @hydra.main(config_path=str(config_dir()), config_name="train", version_base="1.3")
    def job(config: DictConfig) -> None:
        raise AssertionError("Hydra was asked to show something, not to run a job.")

    old, sys.argv = sys.argv, [sys.argv[0], *arguments]
    try:
        job()
    finally:
        sys.argv = old
    return 0
