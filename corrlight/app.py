"""The command line of ``run.py``: Hydra's overrides in, an exit code out."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from corrlight.commands.parsing import discard_output
from corrlight.config.compose import (
    ComposedConfig,
    check_logging,
    compose_config,
    config_dir,
    split_overrides,
)
from corrlight.config.overrides import (
    ConfigError,
    literal_paths,
    override_key,
    override_value,
    quoted,
)
from corrlight.runs.ending import BAD_INPUT, FAILED, INTERRUPTED, stop_code
from corrlight.runs.folder import NAMED_CHECKPOINTS, RunFolder
from corrlight.runs.status import STATUS_FILE

__all__ = ["main", "run"]

log = logging.getLogger("corrlight")


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not any(argument.startswith("-") for argument in arguments):
        return run(arguments)
    from hydra._internal.utils import get_args_parser

    flags = get_args_parser().parse_intermixed_args(arguments)
    overrides = literal_paths(flags.overrides)
    if flags.config_dir:
        # As an override it reaches the jobs of a sweep and the ranks of a run as well.
        overrides.append(
            f"hydra.searchpath=[{quoted(f'file://{Path(flags.config_dir).resolve()}')}]"
        )

    def job() -> int:
        for name in ("config_name", "config_path", "package", "experimental_rerun"):
            if getattr(flags, name, None):
                raise ValueError(
                    f"Expected no --{name.replace('_', '-')} (--config-dir adds a folder of YAML "
                    "files), but got it."
                )
        if flags.config_dir and not Path(flags.config_dir).is_dir():
            raise ValueError(f"Expected `--config-dir` to be a folder, but got {flags.config_dir}.")
        if flags.help:
            from corrlight.config.help import help_text

            print(help_text(overrides, resolve=flags.resolve))
            return 0
        if flags.hydra_help or flags.cfg or flags.info or flags.shell_completion:
            return _through_hydra(arguments, overrides)
        return _sweep(overrides) if flags.multirun else _one(overrides)

    return _guarded(job)


def run(overrides: Sequence[str]) -> int:
    """Compose, check and run one job; every error of the input is one line on stderr.

    A configuration that asks for a sweep (``hydra.mode: MULTIRUN`` in an experiment) is one.
    """
    return _guarded(lambda: _one(literal_paths(overrides)))


def _one(overrides: Sequence[str]) -> int:
    given = _given(overrides)
    composed = compose_config(given.overrides)
    if composed.multirun:
        return _sweep(given.own)
    if split_overrides(given.own)[0]:
        raise ValueError("Expected `launcher` only with -m or a table, whose jobs it starts.")
    return _run(composed, given)


def _guarded(job: Callable[[], int]) -> int:
    try:
        return job()
    except KeyboardInterrupt:
        print(_how_to_go_on(test=False, rerun=False), file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `... | head`: who read it has seen enough.
        discard_output()
        return 128 + signal.SIGPIPE
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
    from corrlight.sweeps.plugins import multirun

    return multirun(overrides)


def _run(composed: ComposedConfig, given: _Given) -> int:
    # torch and lightning take seconds to import: a misspelt option should not wait for them.
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from corrlight.config.ranks import is_main_process
    from corrlight.data.images import BadImageError
    from corrlight.data.loading.loader import LoaderStalledError
    from corrlight.engine.agreement import RankMismatchError
    from corrlight.engine.faults.disk import DiskFullError, explain_full_disk
    from corrlight.engine.faults.memory import MemoryShortageError
    from corrlight.engine.faults.rendezvous import PortInUseError
    from corrlight.engine.prepare import prepare
    from corrlight.engine.stopping import RunStopped
    from corrlight.engine.test import run_test
    from corrlight.engine.train import RunFolderError, run_train
    from corrlight.reporting.summary import print_metrics, print_run, write_figures

    config = composed.config
    test = config.mode == "test"
    if test and given.checkpoint is None:
        raise ValueError("Expected `ckpt` to be a run folder or a checkpoint in mode=test.")
    if not test and config.ckpt is not None:
        raise ValueError(
            f"Expected `ckpt` with mode=test alone (resume= goes on with a run), but got "
            f"'{config.ckpt}'."
        )
    try:
        prepared = prepare(composed)
    except (TypeError, AttributeError) as error:
        # Some value is of a kind that nothing above asked about.
        raise ValueError(
            f"These options cannot be built: {error} (CORRLIGHT_TRACEBACK=1 shows where)."
        ) from error
    main_process, kept = is_main_process(), False
    if given.resumed is not None and not test:
        _check_resumed(given.resumed, prepared.folder.path)
    try:
        if test:
            # With ckpt=best it is known since the run is.
            metrics = run_test(prepared, _checkpoint(given, prepared.config.ckpt))
        else:
            if main_process and not prepared.finished:
                print_run(prepared, composed)
            metrics = run_train(prepared, composed)
            kept = prepared.folder.finished
            if main_process and kept:
                with explain_full_disk(prepared.folder.path):
                    write_figures(prepared.folder.path)
    except RunStopped as stopped:
        if main_process:
            print(_how_to_go_on(test, bool(config.rerun)), file=sys.stderr)
        return stop_code(stopped.signum)
    except (RankMismatchError, RunFolderError, LoaderStalledError):
        raise
    except (
        *(MemoryShortageError, DiskFullError, PortInUseError),
        *(BadImageError, FloatingPointError),
    ) as error:
        if os.environ.get("CORRLIGHT_TRACEBACK"):
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except MisconfigurationException as error:
        raise ValueError(str(error)) from error
    except (ValueError, OSError):
        if test:
            raise
        # The input was checked: this is a fault while training, and where it happened matters.
        traceback.print_exc()
        return FAILED
    if main_process:
        print_metrics(metrics, prepared.folder.path if kept else None)
    return 0


def _checkpoint(given: _Given, found: str) -> Path:
    assert given.checkpoint is not None
    return Path(found) if str(given.checkpoint) in NAMED_CHECKPOINTS else given.checkpoint


def _check_resumed(named: Path, folder: Path) -> None:
    """Refuse to train another run than ``resume=RUN_FOLDER`` names."""
    if named.resolve() != folder.resolve():
        raise ValueError(
            f"Expected `resume` to name the run of these options, which is {folder}, but got "
            f"{named}: an option, the data or the results version differs "
            "(schedule.max_epochs=N trains a finished run longer)."
        )


def _how_to_go_on(test: bool, rerun: bool) -> str:
    if test:
        return "Stopped."
    how = "The same command without rerun=true" if rerun else "The same command"
    return f"Stopped. {how} goes on from the last checkpoint."


@dataclass(frozen=True, slots=True)
class _Given:
    """A command, and the run folder that it names.

    Attributes:
        overrides: The folder's, then the command's own.
        own: The command's own.
        checkpoint: What ``ckpt`` names, None without it.
        resumed: The folder that ``resume`` names, None without one.
    """

    overrides: list[str]
    own: list[str]
    checkpoint: Path | None = None
    resumed: Path | None = None


def _given(overrides: Sequence[str]) -> _Given:
    """Read a command; ``ckpt=RUN_FOLDER`` and ``resume=RUN_FOLDER`` take the folder's overrides.

    So nothing has to be typed again; options given beside them win.
    """
    own = list(overrides)
    named = {override_key(o): o for o in own}
    target = next((override_value(named[key]) for key in ("ckpt", "resume") if key in named), "")
    if not target or target.lower() in ("true", "false", "null", "none"):
        return _Given(own, own)
    path = Path(target)
    if "ckpt" in named and target in NAMED_CHECKPOINTS and not path.exists():
        return _Given(own, own, path)
    if not path.exists():
        raise FileNotFoundError(f"Expected a run folder or a checkpoint, but there is no {path}.")
    folder = path if path.is_dir() else path.parent.parent
    if not (folder / "overrides.yaml").is_file():
        if path.is_dir():
            raise FileNotFoundError(f"Expected a run folder, but {path} has no overrides.yaml.")
        if "ckpt" not in named:
            raise ValueError(
                "Expected `resume` to be a run folder, or a checkpoint that lies in one, but got "
                f"{path} (init={path} starts from the weights of a checkpoint)."
            )
        return _Given(own, own, path)
    stored = RunFolder(folder).read_yaml("overrides.yaml") or []
    if not isinstance(stored, list) or not all(isinstance(o, str) for o in stored):
        raise ValueError(f"Expected a list of overrides in {folder / 'overrides.yaml'}.")
    resumed = None
    left_out = {*named, "resume", "rerun", "allow_targets"}
    if "resume" in named:
        if "schedule.max_epochs" in named and RunFolder(folder).finished:
            # Another run, with a folder of its own: the finished one stays what it is.
            own = [o for o in own if not o.startswith("resume=")]
            own.append(f"extend={quoted(str(folder.resolve()))}")
            left_out |= {"init", "extend"}
        else:
            resumed = folder
            own = ["resume=true" if o.startswith("resume=") else o for o in own]
        if "paths.runs_dir" not in named:  # The folder may have moved, or is seen from elsewhere.
            own.append(f"paths.runs_dir={quoted(str(folder.resolve().parents[1]))}")
            named["paths.runs_dir"] = ""
    # Code is not allowed by what a folder says.
    kept = [o for o in stored if override_key(o) not in left_out]
    checkpoint = RunFolder(path).last_checkpoint if path.is_dir() else path
    return _Given([*kept, *own], own, checkpoint, resumed)


def _through_hydra(arguments: list[str], overrides: Sequence[str]) -> int:
    """Let Hydra handle the flags that only show something (--hydra-help, --cfg, --info, ...).

    Raises:
        ConfigError: A file configures Hydra's logging, which would open what it names.
    """
    import hydra
    from omegaconf import DictConfig

    check_logging(overrides)

    @hydra.main(config_path=str(config_dir()), config_name="train", version_base="1.3")
    def job(config: DictConfig) -> None:
        raise AssertionError("Hydra was asked to show something, not to run a job.")

    old, sys.argv = sys.argv, [sys.argv[0], *arguments]
    try:
        job()
    finally:
        sys.argv = old
    return 0
