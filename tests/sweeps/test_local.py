from pathlib import Path

import pytest

from corrlight.sweeps.job import Job
from corrlight.sweeps.local import SweepOptions

JOBS = [Job(name=str(k), overrides=(), folder=Path(str(k))) for k in range(3)]


def test_what_every_job_gets_is_said():
    assert SweepOptions(jobs=2, threads=3).check(JOBS) == "2 at once, 3 threads each"


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"`launcher\.jobs` to be a number of at least 1"):
        SweepOptions(jobs=0).check(JOBS)


def test_finished_jobs_are_run_by_nobody(tmp_path):
    done = [Job(name="a", overrides=(), folder=tmp_path, finished=True)]
    (state,) = SweepOptions().run(done, tmp_path / "logs", lambda states, changed: None)
    assert state.state == "reused"
