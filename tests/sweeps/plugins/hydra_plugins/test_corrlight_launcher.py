"""Hydra's way to our sweeps, up to the jobs that it hands over."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.utils import JobStatus
from omegaconf import OmegaConf

from corrlight.config.overrides import ConfigError
from corrlight.sweeps.plugins import multirun, register_launcher
from corrlight.sweeps.sweep import SweepResult

register_launcher()
from hydra_plugins.corrlight_launcher import CorrlightLauncher  # noqa: E402


def finished(job):
    return SimpleNamespace(state="finished", job=SimpleNamespace(folder=Path("/nowhere")))


@pytest.fixture
def sweeps(monkeypatch):
    """Return the jobs of every sweep that would have been made."""
    made = []

    def run_sweep(jobs, launcher):
        made.append([sorted(job) for job in jobs])
        states = tuple(finished(job) for job in jobs)
        return SweepResult(states, tuple(range(len(jobs))))

    monkeypatch.setattr("corrlight.sweeps.plugins.run_sweep", run_sweep)
    monkeypatch.setattr("corrlight.sweeps.plugins._measure", lambda folder, name: 0.5)
    return made


def test_a_grid_is_every_combination_and_options_of_the_launcher_are_none(sweeps):
    """A value that does not compose is the launcher's to name: Hydra's sweeper would end here."""
    assert multirun(["seed=0,1", "corr=none,concordanc", "launcher.jobs=2"]) == 0
    (jobs,) = sweeps
    assert sorted(jobs) == sorted(
        [f"corr={corr}", f"seed={seed}"] for corr in ("none", "concordanc") for seed in (0, 1)
    )


def test_params_are_a_grid_the_command_line_has_the_last_word_and_batches_are_sweeps(sweeps):
    params = "+hydra.sweeper.params={seed: '0,1,2', corr: none}"
    assert multirun([params, "seed=5,6,7,8,9", "hydra.sweeper.max_batch_size=2"]) == 0
    grid = [["corr=none", f"seed={seed}"] for seed in (5, 6, 7, 8, 9)]
    assert sweeps == [grid[:2], grid[2:4], grid[4:]]


def test_code_is_allowed_on_the_command_line_alone(sweeps):
    with pytest.raises(ConfigError, match="`allow_targets` on the command line only"):
        multirun(["+hydra.sweeper.params={allow_targets: '[tests.helpers]'}"])
    assert sweeps == []


@pytest.fixture
def launcher():
    made = CorrlightLauncher()
    made._config = OmegaConf.create({})
    return made


def test_every_job_has_a_result_whether_it_failed_or_not(launcher, capsys):
    asked = []

    def launch(jobs, config):
        asked.append(jobs)
        return [(True, 0.25), (False, None), (True, None)]

    launcher._task = SimpleNamespace(launch=launch)
    jobs = [["seed=0"], ["seed=1"], ["seed=2"]]
    results = launcher.launch(jobs, initial_job_idx=4)
    assert asked == [jobs]
    assert [result.overrides for result in results] == jobs
    assert [result.status for result in results] == [
        JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.COMPLETED
    ]  # fmt: skip
    # What sweepers that learn ask for.
    assert results[0].return_value == 0.25
    assert results[2].return_value is None
    with pytest.raises(RuntimeError, match="not finished"):
        _ = results[1].return_value


def test_only_our_own_task_knows_what_to_do_with_jobs():
    with pytest.raises(AssertionError):
        CorrlightLauncher().setup(
            hydra_context=None, task_function=lambda config: None, config=OmegaConf.create({})
        )
