"""Two processes on the CPU: nothing hangs, every image counts once."""

import json

import pytest

from tests.helpers.ranks.process_group import run_warm
from tests.integration.conftest import run_folder


def two_ranks(*overrides, **variables):
    """Run two ranks; return the exit code and everything printed."""
    return run_warm(*overrides, "trainer=ddp_sim", **variables)


@pytest.mark.slow
def test_two_processes_train_and_evaluate_every_image_once(options, tmp_path):
    """The second process has no validation batch of its own."""
    code, output = two_ranks(*options, "corr.sync=true", "loss=alrp", "schedule.max_epochs=1")
    assert code == 0, output
    folder = run_folder(tmp_path / "runs")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["num_images"] == 6
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["world_size"] == 2
    assert environment["status"] == "finished"


@pytest.mark.slow
def test_ranks_with_different_options_stop_together_before_the_first_step(options, tmp_path):
    code, output = two_ranks(*options, "corr.weight='${oc.decode:${oc.env:LOCAL_RANK,0}}'")
    assert code == 2, output
    assert "rank 1 differs from rank 0 in corr.weight (0, 1)" in output
    assert "Traceback" not in output
    assert not list((tmp_path / "runs").glob("*/*/checkpoints/*"))
