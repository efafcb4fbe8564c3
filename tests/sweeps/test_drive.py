import os
import signal
from pathlib import Path

import pytest

from corrlight.sweeps.drive import drive_jobs
from corrlight.sweeps.job import Job

JOBS = [Job(name=str(k), overrides=(), folder=Path(str(k)), finished=k == 1) for k in range(4)]


class Pool:
    """Runs two jobs at once, each of which ends at the second look."""

    def __init__(self, on_look=lambda pool: None):
        self.running, self.started, self.closed, self.stopped = [], [], False, False
        self._looks, self._on_look = {}, on_look

    def fits(self, job):
        return len(self.running) < 2

    def start(self, state):
        state.state = "running"
        self.running.append(state)
        self.started.append(state.job.name)

    def changed(self):
        self._on_look(self)
        ended = []
        for state in list(self.running):
            self._looks[state.number] = self._looks.get(state.number, 0) + 1
            if self._looks[state.number] == 2:
                state.end(0)
                self.running.remove(state)
                ended.append(state)
        return ended

    def stop(self):
        self.stopped = True
        for state in self.running:
            state.stop()
        self.running.clear()

    def close(self):
        self.closed = True


def test_jobs_start_in_order_as_they_fit(tmp_path):
    pool, seen = Pool(), []

    def note(states, changed):
        if changed is not None:
            seen.append((changed.job.name, changed.state))

    states = drive_jobs(JOBS, pool, tmp_path, 0.0, note)
    assert [state.state for state in states] == ["finished", "reused", "finished", "finished"]
    assert pool.started == ["0", "2", "3"]
    assert pool.closed
    assert not pool.stopped
    assert [name for name, state in seen if state == "running"] == ["0", "2", "3"]
    assert [name for name, state in seen if state == "finished"] == ["0", "2", "3"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_what_runs_and_starts_nothing_more(tmp_path, signum):
    before = signal.getsignal(signal.SIGTERM)
    pool = Pool(on_look=lambda pool: os.kill(os.getpid(), signum))
    states = drive_jobs(JOBS, pool, tmp_path, 0.0)
    assert [state.state for state in states] == ["stopped", "reused", "stopped", "waiting"]
    assert pool.stopped
    assert pool.closed
    assert signal.getsignal(signal.SIGTERM) is before
