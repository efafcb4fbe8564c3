import errno
import multiprocessing
import os
import sys
import time

import numpy as np
import pytest

from corrlight.data.decoded import DECODED_FOLDER, shared_pixels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sweeps share on Linux alone")


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv(DECODED_FOLDER, str(tmp_path / "decoded"))
    for name in "ab":
        (tmp_path / name).write_text(name)
    return [tmp_path / "a", tmp_path / "b"]


def counting(value=7):
    """A decoder that writes ``value`` and counts its calls."""
    calls = []

    def fill(pixels):
        calls.append(1)
        pixels[:] = value

    return fill, calls


def test_the_second_asks_for_no_decoding(files):
    first, calls = counting(7)
    second, no_calls = counting(9)
    assert shared_pixels(files, ["rgb"], 5, first).tolist() == [7] * 5
    assert shared_pixels(files, ["rgb"], 5, second).tolist() == [7] * 5
    assert (len(calls), len(no_calls)) == (1, 0)


@pytest.mark.parametrize("change", ["order", "fewer", "how", "content", "time"])
def test_other_pictures_are_decoded(files, change):
    shared_pixels(files, ["rgb"], 5, counting(7)[0])
    how = ["deep"] if change == "how" else ["rgb"]
    if change == "content":
        files[0].write_text("longer")
    if change == "time":
        os.utime(files[0], (1, 1))
    given = {"order": files[::-1], "fewer": files[:1]}.get(change, files)
    assert shared_pixels(given, how, 5, counting(9)[0]).tolist() == [9] * 5


def test_what_one_job_writes_no_other_sees(files):
    mine = shared_pixels(files, [], 4, counting(7)[0])
    mine[:] = 1
    assert shared_pixels(files, [], 4, counting(9)[0]).tolist() == [7] * 4


def test_outside_of_sweeps_nothing_is_shared(files, monkeypatch):
    monkeypatch.delenv(DECODED_FOLDER)
    fill, calls = counting()
    assert shared_pixels(files, [], 4, fill) is None
    assert not calls


def test_a_missing_picture_is_left_to_the_decoder_to_name(files):
    files[1].unlink()
    fill, calls = counting()
    assert shared_pixels(files, [], 4, fill) is None
    assert not calls


def test_after_a_failed_decoder_the_next_one_decodes(files):
    def fail(pixels):
        raise ValueError("no picture")

    with pytest.raises(ValueError, match="no picture"):
        shared_pixels(files, [], 4, fail)
    assert shared_pixels(files, [], 4, counting(9)[0]).tolist() == [9] * 4


def test_without_room_every_job_keeps_its_own_and_says_so(files, monkeypatch, caplog):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("corrlight.data.decoded.os.posix_fallocate", full)
    fill, calls = counting()
    with caplog.at_level("INFO"):
        assert shared_pixels(files, [], 4, fill) is None
    assert not calls
    assert "not shared with other jobs: " in caplog.text
    assert "No space left on device" in caplog.text


def _slowly(files, results):
    def fill(pixels):
        time.sleep(0.3)
        pixels[:] = os.getpid() % 251

    results.put(int(shared_pixels(files, [], 3, fill)[0]))


def test_jobs_that_start_together_decode_once(files):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    jobs = [context.Process(target=_slowly, args=(files, results)) for _ in range(3)]
    for job in jobs:
        job.start()
    values = {results.get(timeout=20) for _ in jobs}
    for job in jobs:
        job.join()
    assert len(values) == 1


def test_the_bytes_are_a_file_that_others_can_map(files, tmp_path):
    shared_pixels(files, [], 3, counting(7)[0])
    (kept,) = [p for p in (tmp_path / "decoded").iterdir() if not p.suffix]
    assert np.fromfile(kept, np.uint8).tolist() == [7] * 3
