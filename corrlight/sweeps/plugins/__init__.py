"""Hydra's multirun with our launcher."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from corrlight.config.allowlist import check_targets
from corrlight.config.compose import check_allowed, config_dir, explain, split_overrides
from corrlight.sweeps.launcher import launcher_of
from corrlight.sweeps.sweep import SweepResult, run_sweep

__all__ = ["SweepTask", "multirun", "register_launcher"]

# Where launchers and sweepers are: ours, installed ones, and Hydra's own.
_PLUGINS = ("hydra_plugins", "hydra._internal.core_plugins")


class SweepTask:
    """The task that Hydra's launcher is given: it collects what the sweeps came to.

    Attributes:
        results: One a call of the launcher; sweepers that learn call it several times.
    """

    def __init__(self) -> None:
        self.results: list[SweepResult] = []

    def launch(
        self, job_overrides: Sequence[Sequence[str]], config: DictConfig
    ) -> list[tuple[bool, float | None]]:
        """Make the jobs; return for each whether it is finished, and the optimised measure."""
        launcher = launcher_of(config.launcher)
        # Where further YAML files are (--config-dir) is not among a job's own overrides.
        given: list[str] = list(config.hydra.overrides.hydra)
        paths = [o for o in given if o.startswith("hydra.searchpath=")]
        jobs = [[*split_overrides(job)[1], *paths] for job in job_overrides]
        result = run_sweep(jobs, launcher)
        self.results.append(result)
        name = str(config.optimized_metric).partition("/")[2]
        states = [result.states[k] for k in result.indices]
        done = [state.state in ("finished", "reused") for state in states]
        return [
            (finished, _measure(state.job.folder, name) if finished else None)
            for finished, state in zip(done, states, strict=True)
        ]

    def __call__(self, config: DictConfig) -> None:
        """Refuse Hydra's own launchers, which would run the jobs in this process."""
        raise ValueError("Expected `hydra/launcher` to be corrlight (launcher=local).")

    @property
    def exit_code(self) -> int:
        """The worst of all sweeps."""
        return max((result.exit_code for result in self.results), default=0)


def multirun(overrides: Sequence[str]) -> int:
    """Run a sweep as ``run.py -m`` does; return the exit code.

    Raises:
        ConfigError: An unknown option or value.
        ValueError: A job that describes no run, or a target outside the allowlist; nothing was
            started then.
    """
    register_launcher()
    task = SweepTask()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        try:
            # Hydra makes whatever `hydra.callbacks` or a parameter of the sweeper names.
            config = hydra.compose_config("train", list(overrides), RunMode.MULTIRUN)
            check_allowed(config, overrides)
            parts = [config.hydra.launcher, config.hydra.sweeper, config.hydra.callbacks]
            check_targets(parts, [*config.allow_targets, *_PLUGINS])
            hydra.multirun("train", task, list(overrides), with_log_configuration=False)
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, overrides) from error
    return task.exit_code


def register_launcher() -> None:
    """Make our launcher and sweeper known to Hydra."""
    home = str(Path(__file__).parent)
    if home not in sys.path:
        sys.path.append(home)
    from hydra_plugins.corrlight_launcher import (  # type: ignore[import-not-found]
        CorrlightLauncher,
        CorrlightSweeper,
    )

    Plugins.instance().register(CorrlightLauncher)
    Plugins.instance().register(CorrlightSweeper)


def _measure(folder: Path, name: str) -> float | None:
    from corrlight.runs.folder import RunFolder

    value = RunFolder(folder).read_json("metrics.json").get(name)
    return float(value) if isinstance(value, (int, float)) else None
