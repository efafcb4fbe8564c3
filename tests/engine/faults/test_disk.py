"""Full disks, by the device that Linux has for trying: every write to /dev/full fails."""

import errno
import json
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from corrlight.app import run as run_app
from corrlight.engine import checkpoint
from corrlight.engine.checkpoint import AtomicCheckpointIO, load_checkpoint
from corrlight.engine.faults.disk import DiskFullError, explain_full_disk, is_full_disk
from corrlight.runs import folder as folders
from corrlight.runs.ending import FAILED
from tests.integration.conftest import data_dir, options, run_folder  # noqa: F401

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
FULL = OSError(errno.ENOSPC, "No space left on device")


def _fill(monkeypatch, module, name):
    """Let writes of a file name fail as on a full disk; return what makes room."""
    real, full = module.atomic_path, [True]

    @contextmanager
    def atomic_path(path):
        with real(path) as temporary:
            if full[0] and Path(path).name == name:
                temporary.symlink_to("/dev/full")
            yield temporary

    monkeypatch.setattr(module, "atomic_path", atomic_path)
    return lambda: full.__setitem__(0, False)


def test_only_full_disks_are_recognised():
    wrapped = RuntimeError("unexpected pos")
    wrapped.__context__ = FULL
    assert is_full_disk(FULL)
    assert is_full_disk(wrapped)
    assert is_full_disk(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert not is_full_disk(OSError(errno.EACCES, "Permission denied"))
    assert not is_full_disk(RuntimeError("unexpected pos"))


def test_the_line_says_what_is_kept(tmp_path):
    def said():
        with pytest.raises(DiskFullError) as found, explain_full_disk(tmp_path / "a" / "b"):
            raise FULL
        assert "\n" not in str(found.value)
        return str(found.value)

    assert "no checkpoint yet. Make room there, or name another disk by paths.runs_dir=." in said()
    last = tmp_path / "a" / "b" / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    last.write_bytes(bytes(3 * 2**20))
    assert "a checkpoint takes 3.0 MiB); the last checkpoint is complete" in said()
    with pytest.raises(OSError, match=r"^\[Errno 13\]"), explain_full_disk(tmp_path):
        raise OSError(errno.EACCES, "denied")


def test_a_checkpoint_that_does_not_fit_says_why_and_leaves_the_old_one(tmp_path, monkeypatch):
    io = AtomicCheckpointIO()
    io.save_checkpoint({"a": torch.zeros(1000)}, tmp_path / "x.ckpt")
    _fill(monkeypatch, checkpoint, "x.ckpt")
    with pytest.raises(OSError, match=r"Cannot write the checkpoint.*x\.ckpt") as found:
        io.save_checkpoint({"a": torch.ones(100_000)}, tmp_path / "x.ckpt")
    assert found.value.errno == errno.ENOSPC
    assert load_checkpoint(tmp_path / "x.ckpt")["a"].sum() == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.ckpt", "x.ckpt.sha256"]


def test_the_run_ends_in_one_line_and_goes_on_when_there_is_room(
    options,  # noqa: F811
    tmp_path,
    monkeypatch,
    capsys,
):
    make_room = _fill(monkeypatch, checkpoint, "last.ckpt")
    # The environment does not fit beside the old one either: it is written over it.
    monkeypatch.setattr(
        folders.RunFolder,
        "write_json",
        _failing_once_running(folders.RunFolder.write_json),
    )
    assert run_app(options) == FAILED
    printed = capsys.readouterr()
    assert printed.err.strip().splitlines()[-1].startswith("error: The disk of ")
    assert "Traceback" not in printed.err
    folder = run_folder(tmp_path / "runs")
    assert json.loads((folder / "environment.json").read_text())["status"] == "failed"
    assert not [p.name for p in folder.rglob("*.tmp*")]
    make_room()
    monkeypatch.undo()
    assert run_app(options) == 0
    assert json.loads((folder / "environment.json").read_text())["status"] == "finished"


def _failing_once_running(real):
    def write_json(self, name, value):
        if name == "environment.json" and value["status"] == "failed":
            raise FULL
        real(self, name, value)

    return write_json
