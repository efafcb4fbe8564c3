"""Sweeps that a crash, a kill and a full disk cannot spoil."""

import json
import logging
import signal
import time

import pytest
import yaml

from corrlight.app import run as run_app
from tests.helpers.ranks.process_group import run_warm, start_warm
from tests.integration.conftest import ROOT

ALLOW = "allow_targets=[tests.integration.faults]"
FAULT = [
    ALLOW,
    "+callbacks.fault._target_=tests.integration.faults.Fault",
    "+callbacks.fault.seed=${seed}",
]


@pytest.fixture
def small(options):
    """Two epochs of two steps."""
    return [*options, "data.num_train=8", "~callbacks.pictures"]


def sweep(*overrides, **variables):
    """Run ``python run.py -m``; return the exit code and everything printed."""
    return run_warm("-m", *overrides, **variables)


def metrics_by_seed(runs):
    found = {}
    for file in runs.glob("*/*/metrics.json"):
        environment = json.loads((file.parent / "environment.json").read_text())
        assert environment["seed"] not in found
        found[environment["seed"]] = json.loads(file.read_text())
    return found


def launches(file):
    """Return the options that make every process of every job add a line to ``file``."""
    return [
        "+callbacks.launches._target_=tests.integration.faults.Launches",
        f"+callbacks.launches.file={file}",
        "+callbacks.launches.seed=${seed}",
    ]


def assert_both_ranks_of_every_job_started_once(file, runs, seeds):
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    started = sorted((line["seed"], line["rank"]) for line in lines)
    assert started == [(seed, rank) for seed in seeds for rank in (0, 1)]
    assert len({line["pid"] for line in lines}) == len(lines)
    folders = {path.parent.name: path.parent for path in runs.glob("[!.]*/*/config.yaml")}
    assert len(folders) == len(seeds)
    for line in lines:
        # The folder's name is a hash of the configuration that this very process composed.
        config = yaml.safe_load((folders[line["run"]] / "config.yaml").read_text())
        environment = json.loads((folders[line["run"]] / "environment.json").read_text())
        assert line["seed"] == line["seeded"] == config["seed"] == environment["seed"]
        assert environment["world_size"] == 2


@pytest.mark.slow
def test_a_sweep_survives_an_error_a_kill_and_a_full_disk(small, tmp_path):
    runs = tmp_path / "runs"
    command = [*small, *FAULT, "seed=0,1,2,3", "launcher.jobs=2"]
    code, output = sweep(*command, CORRLIGHT_FAULTS="1")
    assert code == 1, output
    assert set(metrics_by_seed(runs)) == {0}, output
    assert "job 2 failed: seed=1: RuntimeError: pulled the plug" in output
    assert "job 3 failed: seed=2: killed by SIGKILL" in output
    assert "job 4 failed: seed=3" in output
    assert "Cannot write the checkpoint" in output
    (finished,) = runs.glob("*/*/metrics.json")
    made = finished.stat().st_mtime_ns
    code, output = sweep(*command)
    assert code == 0, output
    assert "4 jobs, 1 of them finished before" in output
    assert output.count("running  seed=") >= 3
    assert "running  seed=0" not in output
    assert finished.stat().st_mtime_ns == made
    logs = list((runs / ".sweeps").glob("sweep-*/3.log"))
    assert "Resuming from" in logs[0].read_text()
    alone = tmp_path / "alone"
    for seed in range(4):
        assert run_app([*small, f"seed={seed}", f"paths.runs_dir={alone}"]) == 0
    expected = metrics_by_seed(alone)
    assert set(expected) == set(range(4))
    assert metrics_by_seed(runs) == expected
    assert len({json.dumps(metrics) for metrics in expected.values()}) == 4


@pytest.mark.slow
def test_an_experiment_that_asks_for_a_sweep_of_two_ranks_a_job(small, tmp_path):
    """Every process of every job starts once, also of the one that fails on rank 0 alone."""
    runs, file = tmp_path / "runs", tmp_path / "launches"
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "grid.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '0,1'}}}\n"
    )
    fault = [option.replace("faults.Fault", "faults.RankFault") for option in FAULT]
    code, output = run_warm(
        "--config-dir", folder.parent, *small, *fault, *launches(file), "experiment=grid",
        "trainer=ddp_sim", "schedule.max_epochs=1", "launcher.jobs=2",
    )  # fmt: skip
    assert code == 1, output
    assert "job 2 failed: seed=1: RuntimeError: rank 0 pulled the plug" in output
    assert set(metrics_by_seed(runs)) == {0}
    logs = list((runs / ".sweeps").glob("sweep-*/*.log"))
    assert sorted(log.name for log in logs) == ["1.log", "2.log"]
    assert_both_ranks_of_every_job_started_once(file, runs, (0, 1))


@pytest.mark.slow
def test_ctrl_c_stops_the_jobs_and_leaves_them_resumable(small, tmp_path, caplog):
    runs, log = tmp_path / "runs", tmp_path / "log"
    options = [*small, "data.num_train=32"]
    with log.open("wb") as output:
        command = [ROOT / "run.py", "-m", *options, "seed=0,1", "launcher.jobs=1"]
        process = start_warm(command, output)
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and not list(runs.glob("*/*/checkpoints/last.ckpt")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, log.read_text()
    assert "stopped" in log.read_text()
    assert "0 of 2 jobs are finished" in log.read_text()
    environments = list(runs.glob("*/*/environment.json"))
    assert [json.loads(file.read_text())["status"] for file in environments] == ["stopped"]
    with caplog.at_level(logging.INFO, "corrlight"):
        assert run_app([*options, "seed=0"]) == 0
    assert "Resuming from" in caplog.text
    assert set(metrics_by_seed(runs)) == {0}


def test_a_sweep_with_a_misspelt_option_starts_nothing(small, tmp_path, capsys):
    from corrlight.app import main

    for wrong, message in (
        ("corr=none,concordanc", "Did you mean 'concordance'?"),
        ("launcher.jobs=0", "`launcher.jobs`"),
        ("mode=test", "Expected `mode` to be train in a sweep"),
    ):
        assert main(["-m", *small, "seed=0", wrong]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert message in error
    assert not (tmp_path / "runs").exists()


def test_a_job_that_finds_a_sweep_ends(monkeypatch, capsys, small):
    from corrlight.app import run

    monkeypatch.setenv("CORRLIGHT_STATUS", "/nowhere/status.json")
    assert run([*small, "hydra.mode=MULTIRUN"]) == 2
    assert "Expected one run in a job of a sweep" in capsys.readouterr().err
