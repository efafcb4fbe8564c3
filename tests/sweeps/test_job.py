import signal
from pathlib import Path

import pytest

from corrlight.runs.ending import STOP_SIGNALS, stop_code
from corrlight.sweeps.job import Job, JobState


@pytest.fixture
def state(tmp_path):
    log = tmp_path / "1.log"
    log.write_text("first\n[rank1]: error: Expected `x` to be good.\nlast words\n\n")
    return JobState(Job(name="a", overrides=(), folder=Path("runs/a")), 1, log, state="running")


def test_a_job_that_ends_well_is_finished(state):
    state.end(0)
    assert (state.state, state.reason) == ("finished", "")


@pytest.mark.parametrize("signum", STOP_SIGNALS)
def test_a_job_that_saved_and_ended_goes_on_later(state, signum):
    state.end(stop_code(signum))
    assert (state.state, state.reason) == ("stopped", "goes on from its last checkpoint")


def test_the_error_line_is_the_reason(state):
    state.end(2)
    assert (state.state, state.reason) == ("failed", "Expected `x` to be good. (exit code 2)")


def test_without_an_error_line_the_last_one_is(state):
    state.log.write_text("first\nlast words\n\n")
    state.end(1)
    assert state.reason == "last words (exit code 1)"
    state.log.write_text("")
    state.end(1)
    assert state.reason == "it printed nothing (exit code 1)"


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV, signal.SIGRTMIN + 5])
def test_the_signal_that_ended_a_job_is_named(state, signum):
    state.end(-signum)
    assert state.state == "failed"
    assert state.reason.startswith("killed by SIG")


def test_a_finished_job_is_not_stopped_any_more(state):
    state.end(0)
    state.stop()
    assert state.state == "finished"
