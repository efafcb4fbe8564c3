"""A run that is killed or asked to stop ends like the one that was left alone."""

import json
import logging
import random
import signal
import time

import pytest

from benchmarks.kill_resume import STEPS_PER_EPOCH, command, saved_step, wait_for_saves
from corrlight.app import run as run_app
from tests.helpers.ranks.process_group import start_warm
from tests.integration.conftest import ROOT, run_folder

# An average that forgets within a few steps, else that of a short run is its first weights.
EMA = [
    "+callbacks.ema._target_=lightning.pytorch.callbacks.EMAWeightAveraging",
    "+callbacks.ema.decay=0.8",
]
FAULTS = "allow_targets=[tests.integration.faults]"

pytestmark = pytest.mark.slow


def results(runs):
    folder = run_folder(runs)
    return {name: (folder / name).read_bytes() for name in ("metrics.json", "detections.json")}


def start(overrides, log, **variables):
    with log.open("ab") as output:
        return start_warm([ROOT / "run.py", *overrides], output, **variables)


def left_alone(factory, data_dir, *overrides):
    runs = factory.mktemp("whole")
    assert run_app([*command(runs, data_dir), *overrides]) == 0
    metrics = json.loads((run_folder(runs) / "metrics.json").read_text())
    assert metrics["AP"] > 0  # Else equal results would say little.
    return results(runs)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data_dir):
    return left_alone(tmp_path_factory, data_dir)


@pytest.fixture(scope="module")
def whole_ema(tmp_path_factory, data_dir):
    return left_alone(tmp_path_factory, data_dir, *EMA)


def test_killed_three_times_and_resumed(whole, tmp_path, data_dir, caplog):
    runs, log, rng = tmp_path / "runs", tmp_path / "log", random.Random(0)
    steps = []
    for _ in range(3):
        process = start(command(runs, data_dir), log)
        wait_for_saves(process, runs, rng.randint(1, 3))
        time.sleep(rng.uniform(0, 0.1))  # To moments in the middle of a step and of a save as well.
        process.kill()
        assert process.wait() == -signal.SIGKILL, log.read_text()
        assert not list(runs.glob("*/*/metrics.json"))
        steps.append(saved_step(runs))
    assert steps == sorted(set(steps))
    assert any(step % STEPS_PER_EPOCH for step in steps), steps
    resuming = f"Resuming from {run_folder(runs)}/checkpoints/last.ckpt"
    assert log.read_text().count(resuming) == 2
    with caplog.at_level(logging.INFO, "corrlight"):
        assert run_app(command(runs, data_dir)) == 0
    assert resuming in caplog.text
    assert results(runs) == whole


def test_sigterm_saves_and_ends_within_ten_seconds(whole, tmp_path, data_dir):
    runs, log = tmp_path / "runs", tmp_path / "log"
    # Without checkpoints of its own in an epoch: what is saved there is the signal's.
    overrides = [*command(runs, data_dir), "callbacks.checkpoint.every_n_steps=null"]
    process = start(overrides, log)
    wait_for_saves(process, runs, 1)
    last = run_folder(runs) / "checkpoints" / "last.ckpt"
    before = last.stat().st_mtime_ns
    asked = time.monotonic()
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM, log.read_text()
    assert time.monotonic() - asked < 10
    assert last.stat().st_mtime_ns > before
    assert saved_step(runs) > STEPS_PER_EPOCH
    environment = json.loads((run_folder(runs) / "environment.json").read_text())
    assert environment["status"] == "stopped"
    assert run_app(overrides) == 0
    assert results(runs) == whole


def interrupted(name, runs, data_dir, log, *options):
    """Let a callback interrupt a run with averaged weights; return its command and exit code."""
    target = f"+callbacks.fault._target_=tests.integration.faults.{name}"
    overrides = [*command(runs, data_dir), *EMA, FAULTS, target, *options]
    return overrides, start(overrides, log, CORRLIGHT_FAULTS="1").wait(200)


def test_averaged_weights_are_resumed_as_well(whole, whole_ema, tmp_path, data_dir):
    assert whole_ema != whole
    runs, log = tmp_path / "runs", tmp_path / "log"
    step = STEPS_PER_EPOCH + 5
    overrides, code = interrupted("KillAt", runs, data_dir, log, f"+callbacks.fault.step={step}")
    assert code == -signal.SIGKILL, log.read_text()
    assert saved_step(runs) == step - 1
    assert run_app(overrides) == 0
    assert results(runs) == whole_ema
    # Killed after its last checkpoint, before its results were written.
    (run_folder(runs) / "metrics.json").unlink()
    assert run_app(overrides) == 0
    assert results(runs) == whole_ema


def test_averaged_weights_survive_a_stop_in_a_validation(whole_ema, tmp_path, data_dir):
    """There the averages stand in for the weights that are trained."""
    runs, log = tmp_path / "runs", tmp_path / "log"
    overrides, code = interrupted(
        "StopInValidation", runs, data_dir, log, "+callbacks.fault.epoch=1"
    )
    assert code == 128 + signal.SIGTERM, log.read_text()
    assert run_app(overrides) == 0
    assert results(runs) == whole_ema
