"""Trainings and tests of a table go through the launcher that the options ask for."""

import json
import shlex

import pytest

from corrlight.sweeps.job import JobState
from corrlight.sweeps.local import SweepOptions
from corrlight.sweeps.slurm import SlurmOptions
from experiments import table_3_1
from experiments.harness import running
from experiments.harness.command import main
from experiments.harness.identity import Locator
from tests.experiments.tiny import TINY

TABLE = table_3_1.TABLE
MEASURES = dict.fromkeys(TABLE.columns, 0.5)


@pytest.fixture
def options(tmp_path):
    return [*TINY, f"paths.runs_dir={tmp_path / 'runs'}", f"paths.data_dir={tmp_path / 'data'}"]


class Recorder:
    """Stands for running: remembers the calls, and ends every job as it is told to.

    Args:
        test_ends: State and exit code of the tests.
    """

    def __init__(self, test_ends=("finished", 0)):
        self.calls = []
        self._test_ends = test_ends

    def __call__(self, launcher, jobs, logs, on_change=None):
        self.calls.append((launcher, jobs))
        return [self._end(job, k, logs) for k, job in enumerate(jobs, 1)]

    def _end(self, job, number, logs):
        if job.finished:
            return JobState(job, number, logs / "x.log", "reused")
        test = "mode=test" in job.overrides
        state, code = self._test_ends if test else ("finished", 0)
        if state == "finished":
            folder = job.folder / "test" if test else job.folder
            folder.mkdir(parents=True)
            (folder / "config.yaml").write_text("{}")
            (folder / "metrics.json").write_text(json.dumps(MEASURES if test else {"AP": 0.5}))
        return JobState(job, number, logs / "x.log", state, exit_code=code, reason="why")


def record(monkeypatch, launcher, **arguments):
    recorder = Recorder(**arguments)
    monkeypatch.setattr(
        launcher, "run", lambda self, jobs, logs, view: recorder(self, jobs, logs, view)
    )
    return recorder


def folder_of(row, options):
    """The run folder of a toy row; the data are drawn."""
    plan = running.plan_table(TABLE, toy=True, seeds=1, options=options, locator=Locator(draw=True))
    return plan.runs[row][0].folder.path


@pytest.mark.slow
def test_trainings_and_tests_are_submitted_to_slurm(options, tmp_path, monkeypatch):
    monkeypatch.setattr(SlurmOptions, "check", lambda self, jobs: "as submissions")
    recorder = record(monkeypatch, SlurmOptions)
    arguments = [
        "--toy", "--jobs", "3", "--rows", "atss-none,atss-qfl-none", "--out", str(tmp_path / "out"),
        *options, "launcher=slurm", "launcher.partition=gpu", "trainer.num_nodes=2",
    ]  # fmt: skip
    assert main(TABLE, arguments) == 0
    (launcher, trainings), (same, tests) = recorder.calls
    assert (
        same == launcher == SlurmOptions(jobs=3, partition="gpu", cpus=1, setup=[], additional={})
    )
    for jobs in (trainings, tests):
        assert [job.nodes for job in jobs] == [2, 2]
        assert not [o for job in jobs for o in job.overrides if o.startswith("launcher")]
    assert [job.overrides[0] for job in tests] == ["mode=test"] * 2
    assert [job.folder for job in tests] == [job.folder for job in trainings]
    # All is there now: nothing is submitted again.
    assert main(TABLE, arguments) == 0
    assert len(recorder.calls) == 2


@pytest.mark.slow
def test_a_queue_is_asked_for_the_same_sweep_again(options, tmp_path, monkeypatch):
    """What has finished since stays in it, so that queued jobs are found by its name."""
    monkeypatch.setattr(SlurmOptions, "check", lambda self, jobs: "as submissions")
    recorder = record(monkeypatch, SlurmOptions)
    out = ["--out", str(tmp_path / "out")]
    given = ["--toy", *out, *options, "launcher=slurm"]
    assert main(TABLE, [*given, "--rows", "atss-none"]) == 0
    assert main(TABLE, [*given, "--rows", "atss-none,atss-qfl-none"]) == 0
    _, trainings = recorder.calls[2]
    assert [job.finished for job in trainings] == [True, False]


@pytest.mark.parametrize(
    ("ends", "code", "reason"),
    [
        (("stopped", None), 130, "stopped: the same command tests it"),
        (("failed", 1), 1, "failed: why"),
    ],
    ids=["ctrl-c", "failed"],
)
def test_tests_that_do_not_end_are_named(
    options, tmp_path, monkeypatch, capsys, ends, code, reason
):
    recorder = record(monkeypatch, SweepOptions, test_ends=ends)
    arguments = ["--toy", "--rows", "atss-none", "--out", str(tmp_path / "out"), *options]
    assert main(TABLE, [*arguments, "launcher.jobs=2"]) == code
    assert [launcher for launcher, _ in recorder.calls] == [SweepOptions(jobs=2, threads=1)] * 2
    assert f"atss-none (test): {reason} (" in capsys.readouterr().err


def test_the_toys_one_thread_can_be_overridden():
    launcher, own = running.choose_launcher(
        ["seed=1", "launcher.threads=2", "launcher.jobs_per_gpu=3"], one_thread=True
    )
    assert launcher == SweepOptions(threads=2, jobs_per_gpu=3)
    assert own == ["seed=1"]
    assert running.choose_launcher([], jobs=4)[0] == SweepOptions(jobs=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--jobs", "2", "launcher.jobs=2"], "Expected `--jobs` or `launcher.jobs`"),
        (["--jobs", "0"], "Expected `launcher.jobs` to be a number of at least 1, but got 0"),
        (["launcher.thread=2"], "Did you mean 'launcher.threads'?"),
        (["launcher=slurm", "launcher.minutes=0"], "Expected `launcher.minutes`"),
    ],
)
def test_wrong_launcher_options_are_one_line(arguments, message, capsys):
    assert main(TABLE, ["--toy", "--dry-run", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_dry_run_says_which_tests_are_missing(options, capsys):
    folder = folder_of("atss-none", options)
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text('{"AP": 0.5}')
    rows = "atss-none,atss-qfl-none"
    arguments = ["--toy", "--dry-run", "--rows", rows, *options]
    assert main(TABLE, arguments) == 0
    printed = capsys.readouterr().out
    assert f"# atss-none: finished ({folder}), its test is to run" in printed
    assert "# atss-qfl-none: to run, then its test, about " in printed
    assert "2 runs: 1 finished, 0 to resume, 1 to run, 2 to test" in printed
    commands = [shlex.split(line) for line in printed.splitlines() if line.startswith("python ")]
    assert commands[1] == ["python", "run.py", "mode=test", f"ckpt={folder}", "metric=full"]
    assert "schedule.scheduler.milestones=[5]" in commands[0]
    assert "'schedule.scheduler.milestones=[5]'" in printed  # zsh takes brackets for a pattern.
    (folder / "test").mkdir()
    (folder / "test" / "metrics.json").write_text(json.dumps(MEASURES))
    assert main(TABLE, arguments) == 0
    printed = capsys.readouterr().out
    assert f"# atss-none: finished ({folder})\n" in printed
    assert "1 to run, 1 to test" in printed
