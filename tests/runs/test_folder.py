import errno
import json
import multiprocessing as mp
import os

import pytest

from corrlight.runs.folder import RunFolder


def test_finished_needs_a_readable_metrics_file(tmp_path):
    folder = RunFolder(tmp_path)
    assert not folder.finished
    folder.metrics_file.write_text('{"AP": 0.')
    assert not folder.finished
    folder.write_json("metrics.json", {"AP": None})
    assert folder.finished
    assert json.loads(folder.metrics_file.read_text()) == {"AP": None}


WHOLE = b'{\n  "AP": 0.25\n}\n'


@pytest.mark.parametrize(
    "damaged", [b"", WHOLE[:9], WHOLE[:-3], bytes(len(WHOLE)), b"\xff\xfe" + WHOLE[2:], b"[]"]
)
def test_a_damaged_metrics_file_is_no_result(tmp_path, damaged):
    folder = RunFolder(tmp_path)
    folder.metrics_file.write_bytes(WHOLE)
    assert folder.finished
    folder.metrics_file.write_bytes(damaged)
    assert not folder.finished


def test_nan_never_replaces_a_good_file(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_json("metrics.json", {"AP": 0.5})
    with pytest.raises(ValueError, match="nan"):
        folder.write_json("metrics.json", {"AP": float("nan")})
    assert folder.read_json("metrics.json") == {"AP": 0.5}
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]


def test_csv_round_trip_with_columns_that_appear_later(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_csv("metrics.csv", [{"epoch": 0}, {"epoch": 1, "val/AP": None}])
    assert folder.read_csv("metrics.csv") == [
        {"epoch": "0", "val/AP": ""},
        {"epoch": "1", "val/AP": ""},
    ]
    assert folder.read_csv("none.csv") == []


def _hold(path, ready, done):
    folder = RunFolder(path)
    folder.lock()
    ready.set()
    done.wait(20)


def test_a_second_process_is_told_who_holds_the_folder(tmp_path):
    context = mp.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, done))
    holder.start()
    try:
        assert ready.wait(60)
        with pytest.raises(OSError, match=f"is being made by process {holder.pid}"):
            RunFolder(tmp_path).lock()
    finally:
        done.set()
        holder.join()
    RunFolder(tmp_path).lock()


def test_a_forked_worker_does_not_keep_the_folder(tmp_path):
    """It outlives a killed parent by seconds, and the same command must go on at once."""
    folder = RunFolder(tmp_path)
    folder.lock()
    assert RunFolder(tmp_path).held
    reader, writer = os.pipe()
    from_child, to_parent = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.write(to_parent, b".")
        os.read(reader, 1)  # Until the parent ends it.
        os._exit(0)
    try:
        os.read(from_child, 1)
        folder.unlock()
        assert not RunFolder(tmp_path).held
        RunFolder(tmp_path).lock()
    finally:
        for end in (writer, reader, from_child, to_parent):
            os.close(end)
        os.waitpid(child, 0)


def test_a_folder_without_locks_is_used_with_a_warning(tmp_path, monkeypatch, caplog):
    def no_locks(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    RunFolder(tmp_path).lock()
    assert "No locks" in caplog.text
    assert not RunFolder(tmp_path).held


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    folder = RunFolder(tmp_path)
    folder.create()
    names = [".metrics.12.tmp.json", "checkpoints/.last.12.tmp.ckpt", "checkpoints/last.ckpt"]
    for name in names:
        (tmp_path / name).touch()
    folder.remove_leftovers()
    assert [name for name in names if (tmp_path / name).exists()] == ["checkpoints/last.ckpt"]


def test_set_aside_keeps_every_earlier_result(tmp_path):
    for k in (1, 2):
        folder = RunFolder(tmp_path / "abc")
        folder.create()
        assert folder.set_aside() == tmp_path / f"abc.old{k}"
    assert RunFolder(tmp_path / "abc").set_aside() is None


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Cannot write the run folder .*file/abc: Not a directory"):
        RunFolder(tmp_path / "file" / "abc").create()
