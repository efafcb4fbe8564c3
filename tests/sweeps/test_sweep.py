from pathlib import Path

import pytest

from corrlight.sweeps import sweep
from corrlight.sweeps.job import Job, JobState


def states(*names):
    job = Job(name="a", overrides=(), folder=Path("a"))
    return tuple(JobState(job, k, Path("log"), state=name) for k, name in enumerate(names, 1))


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("finished", "reused"), 0),
        (("finished", "failed", "stopped"), 1),
        (("finished", "stopped"), 130),
        (("waiting",), 130),
    ],
)
def test_exit_code(names, code):
    assert sweep.SweepResult(states(*names), ()).exit_code == code


class Launcher:
    remote = False

    def check(self, jobs):
        return f"{len(jobs)} by nobody"

    def run(self, jobs, logs, on_change):
        assert (logs / "jobs.json").is_file()
        made = [JobState(job, k, logs / f"{k}.log") for k, job in enumerate(jobs, 1)]
        for state in made:
            state.log.write_text("error: no luck\n")
            state.end(1)
        on_change(made, None)
        return made


def test_jobs_go_to_the_launcher_and_the_summary_names_what_failed(tmp_path, capsys):
    small = [
        f"paths.data_dir={tmp_path}", f"paths.runs_dir={tmp_path / 'runs'}", "trainer=cpu",
        "data.num_train=4", "data.num_val=2", "data.image_size=64",
    ]  # fmt: skip
    result = sweep.run_sweep([small, [*small, "seed=1"], small], Launcher())
    assert result.indices == (0, 1, 0)
    assert result.exit_code == 1
    said = capsys.readouterr().out
    assert "2 jobs, 0 of them finished before; 2 by nobody" in said
    assert "job 1 failed" in said
    assert "no luck (exit code 1)" in said
    assert "0 of 2 jobs are finished." in said


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "runs").write_text("a file")
    small = [
        f"paths.data_dir={tmp_path}", f"paths.runs_dir={tmp_path / 'runs'}", "trainer=cpu",
        "data.num_train=4", "data.num_val=2", "data.image_size=64",
    ]  # fmt: skip
    with pytest.raises(OSError, match="Cannot write the sweep's folder"):
        sweep.run_sweep([small], Launcher())
