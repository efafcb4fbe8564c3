"""What goes wrong on one of several ranks ends all of them, and says what it was; four ranks."""

import json

import pytest

from tests.helpers.ranks.process_group import run_warm, start_warm
from tests.integration.conftest import ROOT, run_folder
from tests.integration.ranks.ports import free_port

pytestmark = pytest.mark.slow


def ranks(*overrides):
    return run_warm(*overrides, "~callbacks.pictures", "trainer=ddp_sim")


def fault(name, *options):
    target = f"+callbacks.fault._target_=tests.integration.faults.{name}"
    return ["allow_targets=[tests.integration.faults]", target, *options]


def test_a_loss_that_is_not_finite_on_rank_1_ends_the_run(options, tmp_path):
    code, output = ranks(*options, *fault("Nan", "+callbacks.fault.rank=1"))
    assert code == 1, output
    folder = run_folder(tmp_path / "runs")
    (written,) = (folder / "non_finite").iterdir()
    assert written.name == "epoch1_batch1_rank1.json"
    assert json.loads((folder / "environment.json").read_text())["status"] == "failed"


def test_a_failure_of_rank_1_ends_the_run_and_is_said(options, tmp_path):
    code, output = ranks(*options, *fault("Rank1Fault"))
    assert code not in (0, 2), output
    assert "rank 1 pulled the plug" in output
    assert not (run_folder(tmp_path / "runs") / "metrics.json").exists()


def test_four_ranks_train_and_count_every_image_once(options, tmp_path):
    """As four machines of one process each: a launcher would import torch on three of them."""
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    one_step = ["schedule.max_epochs=1", "~callbacks.pictures"]
    nodes = ["trainer.num_nodes=4", "trainer.strategy=ddp", *one_step]
    command, log = [ROOT / "run.py", *options, *nodes], tmp_path / "log"
    with log.open("wb") as output:
        processes = [start_warm(command, output, NODE_RANK=str(k), **group) for k in range(4)]
    assert [process.wait(120) for process in processes] == [0] * 4, log.read_text()
    folder = run_folder(tmp_path / "runs")
    assert json.loads((folder / "metrics.json").read_text())["num_images"] == 6
    assert json.loads((folder / "environment.json").read_text())["world_size"] == 4
