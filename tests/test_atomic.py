"""A file is either complete or the old one, a folder complete or not there."""

import os
from pathlib import Path

import pytest

from corrlight.atomic import (
    atomic_folder,
    atomic_path,
    check_writable,
    write_text,
    write_text_in_place,
)


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "one\n")
    write_text(path, "two\n")
    assert path.read_bytes() == b"two\n"
    assert os.listdir(path.parent) == ["a.txt"]


def test_exception_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(temporary):
        temporary.write_text("half")
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"), atomic_path(path) as temporary:
        fail(temporary)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_temporary_file_keeps_suffix_and_folder(tmp_path):
    with atomic_path(tmp_path / "a.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"x")


def test_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("empty", [False, True])
def test_folder_appears_when_complete(tmp_path, empty):
    folder = tmp_path / "deep" / "set"
    if empty:
        folder.mkdir(parents=True)
    with atomic_folder(folder) as temporary:
        (temporary / "a.txt").write_text("one")
        assert not folder.exists() or not any(folder.iterdir())
    assert (folder / "a.txt").read_text() == "one"
    assert os.listdir(folder.parent) == ["set"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_broken_off_folder_leaves_nothing(tmp_path, error):
    def fail(temporary):
        (temporary / "a.txt").write_text("half")
        raise error

    with pytest.raises(error), atomic_folder(tmp_path / "set") as temporary:
        fail(temporary)
    assert os.listdir(tmp_path) == []


def test_existing_folder_is_kept(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("old")
    with pytest.raises(ValueError, match="to be a new folder"), atomic_folder(tmp_path / "set"):
        raise AssertionError
    # Made by somebody else in the meantime.
    with pytest.raises(ValueError, match="to be a new folder"):
        _overtaken(tmp_path / "two")
    assert sorted(os.listdir(tmp_path)) == ["set", "two"]
    assert os.listdir(tmp_path / "two") == ["b.txt"]


def _overtaken(folder):
    with atomic_folder(folder) as temporary:
        folder.mkdir()
        (folder / "b.txt").write_text("old")
        (temporary / "a.txt").write_text("new")


def test_last_words_fit_into_the_blocks_that_a_file_has(tmp_path):
    path = tmp_path / "x.json"
    write_text(path, "a" * 5000)
    inode = path.stat().st_ino
    write_text_in_place(path, "b" * 8192)
    assert path.read_text() == "b" * 8192
    write_text_in_place(path, "short")
    assert path.read_text() == "short"
    assert path.stat().st_ino == inode
    with pytest.raises(OSError, match="No space left"):
        write_text_in_place(path, "c" * 4097)
    assert path.read_text() == "short"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_text_that_does_not_fit_names_the_file(tmp_path, monkeypatch):
    temporary = tmp_path / f".x.{os.getpid()}.tmp.txt"
    temporary.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: .*x\.txt"):
        write_text(tmp_path / "x.txt", "text")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_known_before(tmp_path, monkeypatch):
    check_writable(tmp_path / "new" / "folder" / "x.onnx", "--out")
    assert os.listdir(tmp_path) == []
    (tmp_path / "text").write_text("")
    with pytest.raises(PermissionError, match=r"`--out` to be writable.*text\."):
        check_writable(tmp_path / "text" / "x.onnx", "--out")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="nothing can be made in"):
        check_writable(tmp_path / "x.onnx", "--out")
