"""What goes wrong on one of several ranks ends all of them, and says what it was; four ranks."""

import json
import sys

import pytest

from tests.helpers.ranks.process_group import run_group
from tests.integration.conftest import ROOT, run_folder

pytestmark = pytest.mark.slow


def ranks(*overrides):
    return run_group(sys.executable, ROOT / "run.py", *overrides, "trainer=ddp_sim")


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
    code, output = ranks(*options, "trainer.devices=4", "schedule.max_epochs=1")
    assert code == 0, output
    folder = run_folder(tmp_path / "runs")
    assert json.loads((folder / "metrics.json").read_text())["num_images"] == 6
    assert json.loads((folder / "environment.json").read_text())["world_size"] == 4
