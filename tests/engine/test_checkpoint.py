import pickle

import pytest
import torch

from corrlight.engine.checkpoint import (
    AtomicCheckpointIO,
    load_checkpoint,
    load_weights,
    readable_checkpoint,
)


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.path}",)


def test_round_trip(tmp_path):
    io = AtomicCheckpointIO()
    io.save_checkpoint({"state_dict": {"a": torch.ones(2)}, "epoch": 3}, tmp_path / "x.ckpt")
    assert io.load_checkpoint(tmp_path / "x.ckpt")["epoch"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["x.ckpt"]


def test_a_failing_save_leaves_the_old_file(tmp_path):
    io = AtomicCheckpointIO()
    io.save_checkpoint({"epoch": 1}, tmp_path / "x.ckpt")
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        io.save_checkpoint({"epoch": 2, "bad": lambda: 0}, tmp_path / "x.ckpt")
    assert load_checkpoint(tmp_path / "x.ckpt") == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.ckpt"]


def test_code_in_a_checkpoint_is_not_executed(tmp_path):
    canary = tmp_path / "canary"
    torch.save({"state_dict": Payload(canary)}, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match=r"Cannot read the checkpoint .*x.ckpt"):
        load_checkpoint(tmp_path / "x.ckpt")
    (tmp_path / "y.ckpt").write_bytes(pickle.dumps(Payload(canary)))
    with pytest.raises(ValueError, match=r"Cannot read the checkpoint .*y.ckpt"):
        load_checkpoint(tmp_path / "y.ckpt")
    assert not canary.exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_cut_off_checkpoint_is_named(tmp_path, share):
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {"a": torch.arange(10_000)}}, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=r"Cannot read the checkpoint .*x\.ckpt"):
        load_checkpoint(path)


def test_weights_of_another_model_are_refused(tmp_path):
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {"weight": torch.ones(3, 3)}}, path)
    with pytest.raises(ValueError, match="does not fit this model"):
        load_weights(torch.nn.Linear(2, 2), path)
    torch.save({"epoch": 1}, path)
    with pytest.raises(ValueError, match="Expected `state_dict`"):
        load_weights(torch.nn.Linear(2, 2), path)
    with pytest.raises(FileNotFoundError, match="there is no"):
        load_weights(torch.nn.Linear(2, 2), tmp_path / "none.ckpt")


def _three_epochs(folder):
    io = AtomicCheckpointIO()
    for epoch in range(3):
        io.save_checkpoint({"epoch": epoch, "w": torch.arange(5000)}, folder / "last.ckpt")


def test_the_checkpoint_before_the_last_is_kept(tmp_path):
    assert readable_checkpoint(tmp_path) == (None, "")
    _three_epochs(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.ckpt", "previous.ckpt"]
    assert load_checkpoint(tmp_path / "previous.ckpt")["epoch"] == 1
    assert readable_checkpoint(tmp_path) == (tmp_path / "last.ckpt", "")


@pytest.mark.parametrize("damage", ["empty", "10 %", "half", "99 %", "zeros"])
def test_a_damaged_last_checkpoint_gives_way_to_the_one_before(tmp_path, damage):
    _three_epochs(tmp_path)
    last = tmp_path / "last.ckpt"
    data = last.read_bytes()
    share = {"empty": 0.0, "10 %": 0.1, "half": 0.5, "99 %": 0.99, "zeros": 0.0}[damage]
    last.unlink()  # The previous one may share its blocks.
    last.write_bytes(bytes(len(data)) if damage == "zeros" else data[: int(len(data) * share)])
    path, problem = readable_checkpoint(tmp_path)
    assert path == tmp_path / "previous.ckpt"
    assert load_checkpoint(path)["epoch"] == 1
    assert "Cannot read the checkpoint" in problem
    assert "\n" not in problem
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="no earlier checkpoint; rerun=true"):
        readable_checkpoint(tmp_path)


def test_where_links_are_impossible_the_previous_checkpoint_is_a_copy(tmp_path, monkeypatch):
    def no_links(*args):
        raise OSError("no links here")

    monkeypatch.setattr("os.link", no_links)
    _three_epochs(tmp_path)
    assert load_checkpoint(tmp_path / "previous.ckpt")["epoch"] == 1


def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path, monkeypatch):
    io = AtomicCheckpointIO()
    io.save_checkpoint({"epoch": 1}, tmp_path / "last.ckpt")

    def full(*args):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(OSError, match=r"Cannot write the checkpoint .*last\.ckpt"):
        io.save_checkpoint({"epoch": 2}, tmp_path / "last.ckpt")
    monkeypatch.undo()
    assert load_checkpoint(tmp_path / "last.ckpt") == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
