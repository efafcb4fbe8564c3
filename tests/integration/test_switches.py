"""``ema`` and ``patience`` from the command line."""

import pytest
import torch

from corrlight.app import run as run_app
from corrlight.engine.checkpoint import load_checkpoint
from tests.integration.conftest import run_folder


@pytest.mark.parametrize("option", ["ema=1.5", "ema=often", "patience=0", "patience=true"])
def test_wrong_values_are_one_line(options, capsys, option):
    assert run_app([*options, option]) == 2
    assert f"`{option.partition('=')[0]}`" in capsys.readouterr().err


def test_a_run_with_both(options, tmp_path):
    """The checkpoint holds the average, which is not the last step's weights."""
    assert run_app([*options, "ema=true", "patience=1", "data.num_train=8"]) == 0
    run = run_folder(tmp_path / "runs")
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    average, current = checkpoint["state_dict"], checkpoint["current_model_state"]
    assert any(not torch.equal(average[k], current[k]) for k in average)
    assert (run / "metrics.json").is_file()


def test_the_best_checkpoint_is_named_beside_the_options_of_the_run(finished, options, caplog):
    assert run_app([*options, "seed=1", "mode=test", "ckpt=best"]) == 2  # not made yet
    with caplog.at_level("INFO", "corrlight"):
        assert run_app([*options, "mode=test", "ckpt=best"]) == 0
    epoch = load_checkpoint(finished / "checkpoints" / "best.ckpt")["epoch"] + 1
    assert f"best.ckpt, epoch {epoch}" in caplog.text
    # Beside the run, whose data lie elsewhere.
    assert len([*finished.glob("test-best*/metrics.json")]) == 1


def test_a_trial_of_a_few_batches_leaves_no_run(options, tmp_path):
    assert run_app([*options, "+trainer.fast_dev_run=true"]) == 0
    assert list((tmp_path / "runs").glob("[!.]*/*")) == []


def test_a_run_that_follows_masks(options, tmp_path, capsys):
    followed = "optimized_metric=val/mask_AP50"
    assert run_app([*options, followed]) == 2  # before anything is trained
    assert "a detector that finds masks" in capsys.readouterr().err
    small = ["detector=yolact_small", "data.num_train=8", "schedule.max_epochs=1", followed]
    assert run_app([*options, *small]) == 0
    assert "  mask_AP 0." in capsys.readouterr().out
    best = run_folder(tmp_path / "runs") / "checkpoints" / "best.ckpt"
    (state,) = (
        value
        for name, value in torch.load(best, weights_only=True)["callbacks"].items()
        if "RunCheckpoint" in name
    )
    assert state["monitor"] == "val/mask_AP50"
