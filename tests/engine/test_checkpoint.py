import itertools
import os
import pickle
import random
from pathlib import Path

import pytest
import torch

from corrlight.engine.checkpoint import (
    AtomicCheckpointIO,
    discard_unreadable,
    load_checkpoint,
    load_weights,
    readable_checkpoint,
)
from corrlight.engine.checksums import sha256_of
from corrlight.runs.folder import RunFolder


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
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.ckpt", "x.ckpt.sha256"]
    io.remove_checkpoint(tmp_path / "x.ckpt")
    assert not list(tmp_path.iterdir())


def test_a_failing_save_leaves_the_old_file(tmp_path):
    io = AtomicCheckpointIO()
    io.save_checkpoint({"epoch": 1}, tmp_path / "x.ckpt")
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        io.save_checkpoint({"epoch": 2, "bad": lambda: 0}, tmp_path / "x.ckpt")
    assert load_checkpoint(tmp_path / "x.ckpt") == {"epoch": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.ckpt", "x.ckpt.sha256"]


def test_code_in_a_checkpoint_is_not_executed(tmp_path):
    canary = tmp_path / "canary"
    torch.save({"state_dict": Payload(canary)}, tmp_path / "x.ckpt")
    # torch's own words advise to execute it.
    with pytest.raises(
        ValueError, match=r"Cannot read the checkpoint .*x.ckpt: it is no checkpoint"
    ):
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


WHOLE = ["last.ckpt", "last.ckpt.sha256", "previous.ckpt", "previous.ckpt.sha256"]


def _three_epochs(folder):
    io = AtomicCheckpointIO()
    for epoch in range(3):
        io.save_checkpoint({"epoch": epoch, "w": torch.arange(5000)}, folder / "last.ckpt")


def test_the_checkpoint_before_the_last_is_kept(tmp_path):
    assert readable_checkpoint(tmp_path) == (None, "")
    _three_epochs(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == WHOLE
    assert load_checkpoint(tmp_path / "previous.ckpt")["epoch"] == 1
    assert readable_checkpoint(tmp_path) == (tmp_path / "last.ckpt", "")


@pytest.mark.parametrize("damage", ["empty", "10 %", "half", "99 %", "zeros", "other bytes"])
def test_a_damaged_last_checkpoint_gives_way_to_the_one_before(tmp_path, damage):
    _three_epochs(tmp_path)
    last = tmp_path / "last.ckpt"
    data = last.read_bytes()
    damaged = {"zeros": bytes(len(data)), "other bytes": b"\xff\xfe" + data[2:50]}
    share = {"empty": 0.0, "10 %": 0.1, "half": 0.5, "99 %": 0.99}.get(damage, 1.0)
    last.unlink()  # The previous one may share its blocks.
    last.write_bytes(damaged.get(damage, data[: int(len(data) * share)]))
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


CONTENT = {
    "state_dict": {f"layer{k}.weight": torch.linspace(-1, 1, 15 + k) for k in range(3)},
    "optimizer_states": [{"state": {0: {"momentum_buffer": torch.ones(5), "step": 7}}}],
    "class_names": ["cat", "dog"], "epoch": 3, "lr": 0.1, "loops": {"done": True, "none": None},
}  # fmt: skip


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def _flipped(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("part", ["anywhere", "directory"])
def test_a_flipped_bit_is_found_or_changes_nothing(tmp_path, part):
    """Bits of the weights, of the pickle, of the padding and of the archive's directory."""
    path = tmp_path / "x.ckpt"
    torch.save(CONTENT, path)
    data = path.read_bytes()
    start = 0 if part == "anywhere" else 8 * data.index(b"PK\x01\x02")
    bits = random.Random(0).sample(range(start, 8 * len(data)), 150)
    found = unchanged = 0
    for bit in bits:
        path.write_bytes(_flipped(data, bit))
        try:
            content = load_checkpoint(path)
        except ValueError as error:
            message = str(error)
            found += message.startswith(f"Cannot read the checkpoint {path}: ")
            found -= "\n" in message
        else:
            unchanged += same(content, CONTENT)
    assert found + unchanged == len(bits)
    assert found > 50


def test_a_record_that_is_marked_as_a_folder_is_found(tmp_path):
    """torch would give whatever the memory held before."""
    path = tmp_path / "x.ckpt"
    torch.save(CONTENT, path)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"x/data/1"))
    data[entry + 38] |= 0x10
    path.write_bytes(data)
    with pytest.raises(ValueError, match="its record data/1 is marked as a folder"):
        load_checkpoint(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_damaged_pickle_raises_nothing_else(tmp_path):
    """In torch's old format, which has no checksums that could find it before."""
    path = tmp_path / "x.ckpt"
    torch.save(CONTENT, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    refused = 0
    for bit in random.Random(1).sample(range(8 * len(data)), 600):
        path.write_bytes(_flipped(data, bit))
        try:
            load_checkpoint(path)
        except ValueError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("error", [KeyError(3), IndexError("pop"), TypeError("x"), OverflowError()])
def test_whatever_an_unreadable_pickle_raises_leads_to_the_one_before(tmp_path, monkeypatch, error):
    _three_epochs(tmp_path)
    load = torch.load

    def damaged(path, **options):
        if Path(path).name == "last.ckpt":
            raise error
        return load(path, **options)

    monkeypatch.setattr("torch.load", damaged)
    path, problem = readable_checkpoint(tmp_path)
    assert path == tmp_path / "previous.ckpt"
    assert problem.startswith(f"Cannot read the checkpoint {tmp_path / 'last.ckpt'}: ")


def test_a_file_is_not_unreadable_where_a_device_has_no_memory_left(tmp_path, monkeypatch):
    _three_epochs(tmp_path)

    def full(*args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("torch.load", full)
    with pytest.raises(torch.OutOfMemoryError):
        readable_checkpoint(tmp_path)


def test_an_unreadable_checkpoint_is_kept_aside(tmp_path):
    _three_epochs(tmp_path)
    damaged = (tmp_path / "last.ckpt").read_bytes()[:-1]
    (tmp_path / "last.ckpt").write_bytes(damaged)
    discard_unreadable(tmp_path)
    assert (tmp_path / "unreadable.ckpt").read_bytes() == damaged
    assert readable_checkpoint(tmp_path) == (tmp_path / "previous.ckpt", "")
    discard_unreadable(tmp_path)  # Again: nothing to do.


def _save_until(folder, calls):
    """Save in a process that is killed before so many changes of the file system are made."""

    def counted(function):
        def call(*args, **kwargs):
            nonlocal calls
            calls -= 1
            if calls < 0:
                os._exit(9)
            return function(*args, **kwargs)

        return call

    child = os.fork()
    if not child:
        os.link, os.fsync = counted(os.link), counted(os.fsync)
        Path.replace, Path.unlink = counted(Path.replace), counted(Path.unlink)
        AtomicCheckpointIO().save_checkpoint({"epoch": 3}, folder / "last.ckpt")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_run_killed_at_any_moment_of_a_save_goes_on_and_leaves_nothing(tmp_path):
    whole = False
    for calls in itertools.count():
        run = RunFolder(tmp_path / str(calls))
        folder = run.path / "checkpoints"
        folder.mkdir(parents=True)
        _three_epochs(folder)
        whole = _save_until(folder, calls)
        # A digest of the save before is no reason to refuse the file.
        assert readable_checkpoint(folder) == (folder / "last.ckpt", "")
        saved = load_checkpoint(folder / "last.ckpt")["epoch"]
        before = load_checkpoint(folder / "previous.ckpt")["epoch"]
        assert (saved, before) in [(2, 1), (2, 2), (3, 2)]
        # The next process cleans up, as the engine does, and saves.
        run.remove_leftovers()
        AtomicCheckpointIO().save_checkpoint({"epoch": 4}, folder / "last.ckpt")
        names = sorted(p.name for p in folder.iterdir())
        assert names in (WHOLE, WHOLE[:3]), (calls, names)
        assert load_checkpoint(folder / "previous.ckpt")["epoch"] == saved
        for name in (n for n in names if n.endswith(".sha256")):
            digest, file = (folder / name).read_text().split()
            assert digest == sha256_of(folder / file)
        if whole:
            break
    assert calls > 10
