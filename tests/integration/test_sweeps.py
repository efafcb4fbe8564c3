"""Sweeps that a crash, a kill and a full disk cannot spoil."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from corrlight.app import run as run_app
from tests.integration.conftest import ROOT

FAULT = [
    "allow_targets=[tests.integration.faults]",
    "+callbacks.fault._target_=tests.integration.faults.Fault",
    "+callbacks.fault.seed=${seed}",
]


@pytest.fixture
def small(options):
    """Two epochs of two steps."""
    return [*options, "data.num_train=8", "~callbacks.pictures"]


def sweep(*overrides, timeout=280, **variables):
    """Run ``python run.py -m``; return the exit code and everything printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **variables}
    environment.pop("LOCAL_RANK", None)
    process = subprocess.Popen(
        [sys.executable, ROOT / "run.py", "-m", *overrides],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=environment,
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
        raise
    return process.returncode, output


def metrics_by_seed(runs):
    found = {}
    for file in runs.glob("*/*/metrics.json"):
        environment = json.loads((file.parent / "environment.json").read_text())
        assert environment["seed"] not in found
        found[environment["seed"]] = json.loads(file.read_text())
    return found


@pytest.mark.slow
def test_a_sweep_survives_an_error_a_kill_and_a_full_disk(small, tmp_path):
    runs = tmp_path / "runs"
    command = [*small, *FAULT, "seed=0,1,2,3,4,5", "launcher.jobs=2"]
    code, output = sweep(*command, CORRLIGHT_FAULTS="1")
    assert code == 1, output
    assert set(metrics_by_seed(runs)) == {0, 4, 5}, output
    assert "job 2 failed: seed=1: RuntimeError: pulled the plug" in output
    assert "job 3 failed: seed=2: killed by SIGKILL" in output
    assert "job 4 failed: seed=3" in output
    assert "Cannot write the checkpoint" in output
    finished = {
        file: file.stat().st_mtime_ns for file in runs.glob("*/*/metrics.json") if file.is_file()
    }
    code, output = sweep(*command)
    assert code == 0, output
    assert "6 jobs, 3 of them finished before" in output
    assert output.count("running  seed=") >= 3
    assert not any(f"running  seed={seed}" in output for seed in (0, 4, 5))
    for file, time_of in finished.items():
        assert file.stat().st_mtime_ns == time_of
    logs = list((runs / ".sweeps").glob("sweep-*/3.log"))
    assert "Resuming from" in logs[0].read_text()
    alone = tmp_path / "alone"
    for seed in (1, 2, 3):
        assert run_app([*small, f"seed={seed}", f"paths.runs_dir={alone}"]) == 0
    whole = metrics_by_seed(runs)
    assert set(whole) == set(range(6))
    for seed, expected in metrics_by_seed(alone).items():
        assert whole[seed] == expected


@pytest.mark.slow
def test_two_ranks_a_job_and_one_failing_on_rank_0_alone(small, tmp_path):
    runs = tmp_path / "runs"
    fault = [option.replace("faults.Fault", "faults.RankFault") for option in FAULT]
    code, output = sweep(
        *small, *fault, "trainer=ddp_sim", "seed=0,1,2", "launcher.jobs=2", "schedule.max_epochs=1"
    )
    assert code == 1, output
    assert "job 2 failed: seed=1: RuntimeError: rank 0 pulled the plug" in output
    assert set(metrics_by_seed(runs)) == {0, 2}
    folders = [path for path in runs.glob("*/*") if not path.parent.name.startswith(".")]
    assert len(folders) == 3
    for folder in folders:
        config = (folder / "config.yaml").read_text()
        environment = json.loads((folder / "environment.json").read_text())
        assert f"\nseed: {environment['seed']}\n" in config
        assert environment["world_size"] == 2


@pytest.mark.slow
def test_an_experiment_that_asks_for_a_sweep_starts_every_job_once(small, tmp_path):
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "grid.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '0,1'}}}\n"
    )
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", "--config-dir", folder.parent, *small,
         "experiment=grid", "trainer=ddp_sim", "schedule.max_epochs=1", "launcher.jobs=2"],
        capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(metrics_by_seed(tmp_path / "runs")) == {0, 1}
    assert done.stdout.count("  running  ") >= 2
    logs = list((tmp_path / "runs" / ".sweeps").glob("sweep-*/*.log"))
    assert sorted(log.name for log in logs) == ["1.log", "2.log"]


@pytest.mark.slow
def test_ctrl_c_stops_the_jobs_and_leaves_them_resumable(small, tmp_path):
    runs = tmp_path / "runs"
    command = [*small, "data.num_train=64", "seed=0,1", "launcher.jobs=1"]
    process = subprocess.Popen(
        [sys.executable, ROOT / "run.py", "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and not list(runs.glob("*/*/checkpoints/last.ckpt")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - asked < 20
    assert process.returncode == 130, output
    assert "stopped" in output
    assert "0 of 2 jobs are finished" in output
    environments = list(runs.glob("*/*/environment.json"))
    assert [json.loads(file.read_text())["status"] for file in environments] == ["stopped"]
    code, output = sweep(*command)
    assert code == 0, output
    assert set(metrics_by_seed(runs)) == {0, 1}


def test_a_sweep_with_a_misspelt_option_starts_nothing(small, tmp_path, capsys):
    from corrlight.app import main

    for wrong, message in (
        ("corr=none,concordanc", "Did you mean 'concordance'?"),
        ("sede=0,1", "Did you mean 'seed'?"),
        ("launcher.jobs=0", "`launcher.jobs`"),
        ("mode=test", "Expected `mode` to be train in a sweep"),
    ):
        assert main(["-m", *small, "seed=0,1", wrong]) == 2
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
