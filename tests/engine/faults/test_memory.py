import json

import pytest
import torch
from omegaconf import OmegaConf

from corrlight.app import run as run_app
from corrlight.engine.faults.memory import (
    BatchWatch,
    MemoryShortageError,
    explain_shortage,
    is_shortage,
)
from corrlight.runs.ending import FAILED
from tests.callbacks.small import make_batch, make_trainer
from tests.integration.conftest import data_dir, options, run_folder  # noqa: F401


def config(**changes):
    plain = {
        "data": {"batch_size": 8, "eval_batch_size": 4, "cache": "none"},
        "trainer": {
            "devices": 1, "num_nodes": 1, "accumulate_grad_batches": 1, "precision": "32-true",
            "accelerator": "cpu",
        },
    }  # fmt: skip
    merged = OmegaConf.create(plain)
    for name, value in changes.items():
        OmegaConf.update(merged, name.replace("__", "."), value)
    return merged


def explained(watch, error, **changes):
    with (
        pytest.raises(MemoryShortageError) as found,
        explain_shortage(make_trainer(".", watch), config(**changes)),
    ):
        raise error
    assert "\n" not in str(found.value)
    return str(found.value)


def test_what_the_allocators_say_is_recognised():
    with pytest.raises(RuntimeError) as cpu:
        torch.empty(2**50, dtype=torch.uint8)
    for error in (
        cpu.value, MemoryError(), torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDA error: out of memory"), RuntimeError("MPS backend out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ):  # fmt: skip
        assert is_shortage(error), error
    for error in (RuntimeError("shape mismatch"), ValueError("out of memory"), OSError(28, "full")):
        assert not is_shortage(error), error


def test_anything_else_passes():
    with pytest.raises(RuntimeError, match=r"^shapes$"), explain_shortage(make_trainer("."), None):
        raise RuntimeError("shapes")


def test_a_training_batch():
    watch = BatchWatch()
    watch.on_train_batch_start(None, None, make_batch(0), 4)
    text = explained(watch, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB."))
    assert text.startswith(
        "Out of memory in training batch 5 of epoch 1 (2 pictures of 60x40 pixels); peak "
    )
    assert "GiB of the process; 20 MiB more were asked for." in text
    assert text.endswith(
        "Try data.batch_size=4 trainer.accumulate_grad_batches=2 (the same learning rate), smaller "
        "pictures (data.train_transforms), trainer.precision=bf16-mixed."
    )


def test_advice_fits_the_run():
    watch = BatchWatch()
    error = MemoryError()
    assert "Out of memory before the first batch; peak" in explained(watch, error)
    for changes in ({"data__batch_size": 1}, {"data__batch_size": 6, "trainer__devices": 2}):
        text = explained(watch, error, **changes, trainer__precision="bf16-mixed")
        assert text.endswith("Try smaller pictures (data.train_transforms).")
    assert "data.cache=none" in explained(watch, error, data__cache="ram")
    watch.on_validation_batch_start(None, None, make_batch(0), 0)
    text = explained(watch, error)
    assert "in validation batch 1 of epoch 1" in text
    assert "data.eval_batch_size=2, smaller pictures (data.eval_transforms)" in text
    watch.on_test_batch_start(None, None, object(), 0)
    assert "in test batch 1 of epoch 1; peak" in explained(watch, error, data__eval_batch_size=1)


def test_a_run_ends_with_one_line(options, tmp_path, capsys):  # noqa: F811
    hungry = [
        "allow_targets=[tests.integration.faults]",
        "+callbacks.fault._target_=tests.integration.faults.Hungry",
    ]
    train = [*options, *hungry, "+callbacks.fault.kind=train", "schedule.max_epochs=1"]
    assert run_app(train) == FAILED
    error = capsys.readouterr().err
    assert "Traceback" not in error
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "in training batch 2 of epoch 1 (4 pictures of 64x64 pixels)" in lines[0]
    assert "data.batch_size=2 trainer.accumulate_grad_batches=2" in lines[0]
    folder = run_folder(tmp_path / "runs")
    assert json.loads((folder / "environment.json").read_text())["status"] == "failed"
