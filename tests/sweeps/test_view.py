"""The live table of a sweep on a terminal of fixed size."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from corrlight.sweeps.job import Job, JobState
from corrlight.sweeps.view import JobView

HEIGHT = 24


@pytest.fixture
def frames(monkeypatch):
    """Return a function that shows states in a live table: its last frame and what stays."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, height=HEIGHT)
    monkeypatch.setattr("corrlight.sweeps.view.get_console", lambda: console)

    def show(states):
        with JobView() as view:
            before = len(file.getvalue())
            view(states, states[0])
            frame = len(file.getvalue())
        return _lines(file.getvalue()[before:frame]), _lines(file.getvalue()[frame:])

    return show


def _lines(text):
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")
    return [line.rstrip() for line in plain.splitlines() if line.strip()]


def states_of(**counts):
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    return [
        JobState(
            Job(name=f"row{k}", overrides=(), folder=Path(str(k))), k, Path("x"), kind,
            reason="pulled the plug" if kind == "failed" else "",
        )
        for k, kind in enumerate(kinds, 1)
    ]  # fmt: skip


def test_a_table_that_fits_shows_every_job(frames):
    frame, left = frames(states_of(finished=10, running=2, waiting=11))
    assert len(frame) == HEIGHT
    assert [line.split()[1] for line in frame[1:]] == [f"row{k}" for k in range(1, 24)]
    assert left == frame


def test_running_and_failed_jobs_are_seen_among_many(frames):
    """44 jobs on 24 lines: those that are done and those that wait become counts."""
    states = states_of(reused=5, finished=12, failed=3, running=2, waiting=22)
    frame, left = frames(states)
    assert [line.split() for line in frame[1:4]] == [
        ["5", "jobs", "reused"], ["12", "jobs", "finished"], ["22", "jobs", "waiting"],
    ]  # fmt: skip
    shown = [line.split()[1:3] for line in frame[4:]]
    assert shown == [[f"row{k}", "failed"] for k in (18, 19, 20)] + [
        [f"row{k}", "running"] for k in (21, 22)
    ]
    # What stays on the screen is the whole table.
    assert [line.split()[1] for line in left[1:]] == [f"row{k}" for k in range(1, 45)]


def test_no_more_is_folded_than_has_to_be(frames):
    frame, _ = frames(states_of(finished=20, running=2, waiting=5))
    assert frame[1].split() == ["20", "jobs", "finished"]
    assert sum("waiting" in line for line in frame) == 5


def test_jobs_that_wrap_count_with_all_their_lines(frames):
    states = states_of(finished=10, running=2)
    for state in states:
        state.job = Job(name="long " * 20, overrides=(), folder=Path("x"))
    frame, _ = frames(states)
    assert len(frame) <= HEIGHT
    assert frame[1].split() == ["10", "jobs", "finished"]
    assert sum("running" in line for line in frame) == 2


def test_failed_jobs_give_way_to_running_ones(frames):
    frame, left = frames(states_of(failed=30, running=2, waiting=1))
    assert [line.split() for line in frame[1:3]] == [
        ["30", "jobs", "failed"], ["1", "job", "waiting"],
    ]  # fmt: skip
    assert [line.split()[1] for line in frame[3:]] == ["row31", "row32"]
    assert sum("pulled the plug" in line for line in left) == 30
