import logging
import shutil

import pytest
import torch

from corrlight.data import CocoDataModule
from corrlight.data.loading import shared_memory
from corrlight.data.loading.shared_memory import (
    batch_bytes,
    fitting_workers,
    free_shared_memory,
    workers_that_fit,
)


@pytest.mark.parametrize(
    ("asked", "needed", "free", "expected"),
    [
        (4, 10, None, 4),
        (4, 10, 1000, 4),
        (4, 10, 89, 2),
        (4, 10, 29, 0),
        (4, 0, 5, 4),
        (0, 1, 9, 0),
    ],
)
def test_workers_that_have_room(asked, needed, free, expected):
    assert fitting_workers(asked, needed, free) == expected


def test_free_memory_is_that_of_the_file_system(tmp_path):
    assert free_shared_memory(tmp_path) == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    assert free_shared_memory(tmp_path / "none") is None


def test_a_small_shared_memory_gets_fewer_processes_and_says_so(make_folder, monkeypatch, caplog):
    data = CocoDataModule(make_folder(), None, None, None, None, load_masks=True)
    dataset = data._dataset("train")
    batch = data._collate([dataset[2]])
    masks = batch.targets[0].masks
    assert batch_bytes(batch) == batch.images.numel() * 4 + masks.numel()
    assert masks.dtype == torch.bool
    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr(shared_memory, "free_shared_memory", lambda: 2**40)
        assert workers_that_fit(4, dataset, data._collate, 8) == 4
        assert not caplog.records
        room = 3 * 8 * batch_bytes(batch)
        monkeypatch.setattr(shared_memory, "free_shared_memory", lambda: 2 * room)
        assert workers_that_fit(4, dataset, data._collate, 8) == 2
        monkeypatch.setattr(shared_memory, "free_shared_memory", lambda: room - 1)
        assert workers_that_fit(4, dataset, data._collate, 8) == 0
    assert len(caplog.records) == 2
    assert "with 2 processes instead of 4" in caplog.records[0].message
