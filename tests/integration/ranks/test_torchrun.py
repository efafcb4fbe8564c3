"""torchrun starts the ranks instead of Lightning."""

import json
import sys

import pytest

from corrlight.app import BAD_INPUT
from corrlight.app import run as run_app
from tests.helpers.ranks.process_group import run_group
from tests.integration.conftest import ROOT, run_folder


def torchrun(*overrides):
    """Run two ranks; return the exit code and everything printed."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return run_group(*launcher, "--nproc-per-node=2", ROOT / "run.py", *overrides)


@pytest.mark.slow
def test_two_ranks_make_one_run(options, tmp_path):
    command = [*options, "trainer=ddp", "trainer.accelerator=cpu", "schedule.max_epochs=1"]
    code, output = torchrun(*command)
    assert code == 0, output
    folder = run_folder(tmp_path / "runs")
    environment = json.loads((folder / "environment.json").read_text())
    assert (environment["world_size"], environment["status"]) == (2, "finished")
    assert json.loads((folder / "metrics.json").read_text())["num_images"] == 6
    # It is the run that Lightning would make of two devices, so nothing is left to do.
    assert run_app([*command, "trainer.devices=2"]) == 0
    assert run_folder(tmp_path / "runs") == folder


@pytest.mark.parametrize(("name", "value"), [("devices", 3), ("num_nodes", 2)])
def test_other_numbers_than_torchruns_are_refused(
    options, tmp_path, monkeypatch, capsys, name, value
):
    for key, text in (("TORCHELASTIC_RUN_ID", "x"), ("LOCAL_WORLD_SIZE", 2), ("WORLD_SIZE", 2)):
        monkeypatch.setenv(key, str(text))
    devices = [] if name == "devices" else ["trainer.devices=2"]
    assert run_app([*options, *devices, f"trainer.{name}={value}"]) == BAD_INPUT
    error = capsys.readouterr().err
    assert f"Expected `trainer.{name}` to be the" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()
