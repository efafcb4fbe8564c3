import errno
import json
import multiprocessing as mp
import os

import pytest

from corrlight.runs.fingerprint import data_fingerprint
from corrlight.runs.folder import RunFolder
from corrlight.runs.identity import run_id
from corrlight.runs.locate import find_run

CONFIG = {
    "seed": 0,
    "paths": {"runs_dir": "a"},
    "logger": {},
    "trainer": {"devices": 1, "precision": "32-true"},
    "data": {"root": "x", "batch_size": 16},
}


def identity(config, **options):
    return run_id(config, **{"world_size": 1, "lr": 0.1, "fingerprint": {"a": "1"}, **options})


def test_run_id_ignores_what_changes_no_number():
    other = {
        **CONFIG,
        "paths": {"runs_dir": "b"},
        "logger": {"_target_": "w"},
        "name": "n",
        "trainer": {"devices": 4, "precision": "32-true"},
        "data": {"root": "x", "batch_size": 16, "num_workers": 3},
    }
    assert identity(other) == identity(CONFIG)


LIGHTNING = "lightning.pytorch.callbacks."


@pytest.mark.parametrize(
    ("callback", "other_run"),
    [
        ({"_target_": "corrlight.callbacks.DetectionPictures", "num_images": 3}, False),
        ({"_target_": "corrlight.callbacks.RunCheckpoint", "every_n_steps": 2}, False),
        ({"_target_": "corrlight.callbacks.NonFiniteGuard", "policy": "raise"}, False),
        ({"_target_": LIGHTNING + "LearningRateMonitor"}, False),
        (None, False),
        ({"_target_": "corrlight.callbacks.NonFiniteGuard", "policy": "skip"}, True),
        ({"_target_": LIGHTNING + "EMAWeightAveraging"}, True),
        ({"_target_": LIGHTNING + "EarlyStopping", "monitor": "val/AP"}, True),
        ({"_target_": "mine.Callback"}, True),
    ],
)
def test_a_callback_that_may_act_on_training_makes_another_run(callback, other_run):
    with_it = identity({**CONFIG, "callbacks": {"a": callback}})
    assert (with_it != identity({**CONFIG, "callbacks": {}})) == other_run
    assert identity({**CONFIG, "callbacks": {}}) == identity(CONFIG)


def test_a_data_root_is_one_however_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    roots = ("x", "./x/", "y/../x", str(tmp_path / "x"))
    same = [identity({**CONFIG, "data": {**CONFIG["data"], "root": root}}) for root in roots]
    assert len(set(same)) == 1


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ({**CONFIG, "seed": 1}, {}),
        ({**CONFIG, "data": {"root": "x", "batch_size": 8}}, {}),
        ({**CONFIG, "data": {"root": "y", "batch_size": 16}}, {}),
        ({**CONFIG, "trainer": {"devices": 1, "precision": "bf16-mixed"}}, {}),
        (CONFIG, {"world_size": 4}),
        (CONFIG, {"lr": 0.2}),
        (CONFIG, {"fingerprint": {"a": "2"}}),
    ],
)
def test_run_id_changes_with_what_changes_numbers(config, options):
    assert identity(config, **options) != identity(CONFIG)


def test_run_id_changes_with_the_results_version(monkeypatch):
    before = identity(CONFIG)
    monkeypatch.setattr("corrlight.runs.identity.RESULTS_VERSION", 10**6)
    assert identity(CONFIG) != before


def test_fingerprint_is_the_hash_of_the_bytes(tmp_path):
    file = tmp_path / "instances.json"
    file.write_text("abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert data_fingerprint([file]) == {"instances.json": expected}


def test_a_run_is_found_under_any_name(tmp_path):
    (tmp_path / "table" / "abc").mkdir(parents=True)
    found = find_run(tmp_path, "abc")
    assert found is not None
    assert found.path == tmp_path / "table" / "abc"
    assert find_run(tmp_path, "abd") is None


def test_of_two_names_the_finished_one_is_found(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "abc").mkdir(parents=True)
    assert find_run(tmp_path, "abc").path == tmp_path / "a" / "abc"
    RunFolder(tmp_path / "b" / "abc").write_json("metrics.json", {"AP": 0.5})
    assert find_run(tmp_path, "abc").path == tmp_path / "b" / "abc"


def test_finished_needs_a_readable_metrics_file(tmp_path):
    folder = RunFolder(tmp_path)
    assert not folder.finished
    folder.metrics_file.write_text('{"AP": 0.')
    assert not folder.finished
    folder.write_json("metrics.json", {"AP": None})
    assert folder.finished
    assert json.loads(folder.metrics_file.read_text()) == {"AP": None}


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
