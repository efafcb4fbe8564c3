"""All tables at once: each run once, training times alone, wrong names refused."""

import pytest

from corrlight.config.compose import compose_config, to_container
from corrlight.sweeps.sweep import SweepResult
from experiments import all as everything
from experiments.harness import running
from experiments.harness.identity import Locator, PlannedRun
from tests.experiments.tiny import TINY


@pytest.fixture
def options(tmp_path):
    return [*TINY, f"paths.runs_dir={tmp_path / 'runs'}", f"paths.data_dir={tmp_path / 'data'}"]


def test_a_run_of_several_tables_is_planned_once(options, tmp_path, capsys):
    tables = ["--tables", "table_5_1,table_5_6"]
    assert everything.main([*tables, "--toy", "--dry-run", *options]) == 0
    printed = capsys.readouterr().out
    # ATSS and Sparse R-CNN with all but Pearson stand in both.
    assert printed.count("the same run as above") == 8
    assert "22 runs: 0 finished, 0 to resume, 22 to run" in printed
    assert not list(tmp_path.iterdir())


def test_an_unknown_table_is_one_line(capsys):
    assert everything.main(["--tables", "table_5_11"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: Unknown table 'table_5_11'")
    assert "Did you mean 'table_5_1'?" in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_collecting_prints_every_table_and_the_claims(options, tmp_path, capsys, monkeypatch):
    """Without runs. What each of the hundreds of rows composes is asked in ``test_rows``."""
    config = to_container(compose_config(options).config)
    monkeypatch.setattr(
        Locator,
        "plan",
        lambda self, own, seed: PlannedRun(
            options=(*own, f"seed={seed}"), folder=None, config=config, problem="It is not drawn."
        ),
    )
    out = ["--out", str(tmp_path / "out")]
    assert everything.main(["--toy", "--collect", *out, *options]) == 0
    printed = capsys.readouterr().out
    for name, table in everything.tables().items():
        assert f"**{table.title}" in printed, name
        assert (tmp_path / "out" / name / f"{name}.md").is_file()
    assert "**Claims of the thesis" in printed


def test_times_are_measured_after_everything_else_and_alone(options, tmp_path, monkeypatch):
    """The runs of all tables share a sweep, those of training_time follow one by one."""
    sweeps = []

    def record(overrides, options, *, names):
        sweeps.append((list(names), options.jobs, options.threads))
        return SweepResult((), ())

    monkeypatch.setattr(running, "run_sweep", record)
    tables = ["--tables", "training_time,figure_2_2", "--jobs", "2"]
    assert everything.main([*tables, "--toy", "--out", str(tmp_path), *options]) == 0
    (first, *how), (second, *alone) = sweeps
    assert all(name.startswith("figure_2_2 ") for name in first)
    assert len(first) == 3
    assert how == [2, 1]
    assert all(name.startswith("training_time ") for name in second)
    assert len(second) == 4
    assert alone == [1, 1]


def test_a_stopped_sweep_starts_nothing_more(options, tmp_path, monkeypatch):
    calls = []

    class Stopped:
        exit_code = running.INTERRUPTED

    monkeypatch.setattr(running, "run_sweep", lambda *a, **k: calls.append(a) or Stopped())
    tables = ["--tables", "training_time,figure_2_2"]
    assert everything.main([*tables, "--toy", "--out", str(tmp_path), *options]) == 130
    assert len(calls) == 1


def test_runs_of_a_table_are_grouped_in_wandb(tmp_path, options):
    table = everything.tables()["table_5_3"]
    locator = running.Locator(draw=False)
    given = [*options, "logger=wandb"]
    plan = running.plan_table(table, toy=True, seeds=1, options=given, locator=locator)
    (run,) = plan.runs["yolact-none"]
    assert running.logger_options(table, run, "yolact-none") == [
        "logger.wandb.group=table_5_3",
        "logger.wandb.name='yolact-none'",
        "logger.wandb.tags=[table_5_3,shapes]",
    ]
    plain = running.plan_table(table, toy=True, seeds=1, options=options, locator=locator)
    (run,) = plain.runs["yolact-none"]
    assert running.logger_options(table, run, "yolact-none") == []
