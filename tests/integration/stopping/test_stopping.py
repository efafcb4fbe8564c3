"""Stopping several ranks: what the main process has to save is saved."""

import json

import pytest

from corrlight.engine.checkpoint import load_checkpoint
from tests.helpers.ranks.process_group import run_warm
from tests.integration.conftest import run_folder


@pytest.mark.slow
def test_a_rank_that_ends_first_does_not_end_the_save(options, tmp_path):
    """SIGTERM within a validation; the checkpoint takes longer than Lightning's patience of 5 s."""
    command = [
        *options, "trainer=ddp_sim", "schedule.max_epochs=3", "data.num_train=8",
        "~callbacks.pictures",
        "allow_targets=[tests.integration.stopping.slow_stop]",
        "+callbacks.stop._target_=tests.integration.stopping.slow_stop.SlowStop",
        "+callbacks.stop.seconds=8",
    ]  # fmt: skip
    code, output = run_warm(*command, CORRLIGHT_FAULTS="1")
    assert code == 143, output
    folder = run_folder(tmp_path / "runs")
    assert load_checkpoint(folder / "checkpoints" / "last.ckpt")["epoch"] == 1
    assert json.loads((folder / "environment.json").read_text())["status"] == "stopped"
    code, output = run_warm(*command)
    assert code == 0, output
    assert "Resuming from" in output
    assert json.loads((folder / "metrics.json").read_text())["num_epochs"] == 3
