import json
import os
import signal
import sys
import time

import pytest

from corrlight.runs.status import JobStatus, format_seconds, read_status, report_status
from corrlight.sweeps.job import Job
from corrlight.sweeps.pool import run_jobs
from corrlight.sweeps.process import job_environment
from corrlight.sweeps.resources import Resources, visible_gpus
from corrlight.sweeps.view import job_line

# Stands for run.py: does what its first argument says.
SCRIPT = """
import os, signal, sys, time
what = sys.argv[1]
assert sys.argv[-1] == "hydra.mode=RUN"
print("threads", os.environ["OMP_NUM_THREADS"], "gpus", os.environ.get("CUDA_VISIBLE_DEVICES"))
print("rank", os.environ.get("LOCAL_RANK"), flush=True)
if what == "raise":
    raise RuntimeError("pulled the plug")
if what == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if what == "input":
    sys.exit("error: Expected `x` to be good.")
if what == "stopped":
    sys.exit(143)
if what == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print("ready", flush=True)
    for _ in range(600):  # A signal just before a long sleep would wait for its end.
        time.sleep(0.1)
if what == "orphan" and os.fork() == 0:
    time.sleep(60)
"""
COMMAND = (sys.executable, "-c", SCRIPT)


def jobs(*kinds, **options):
    return [
        Job(name=f"{kind}{k}", overrides=(kind,), folder=k, **options)
        for k, kind in enumerate(kinds)
    ]


def test_no_job_stops_another_and_every_end_has_its_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    seen = []
    states = run_jobs(
        jobs("fine", "raise", "kill", "input", "stopped", "fine"),
        Resources(2, 1),
        tmp_path,
        command=COMMAND,
        on_change=lambda states, changed: seen.append(changed and changed.state),
    )
    assert [state.state for state in states] == [
        "finished", "failed", "failed", "failed", "stopped", "finished",
    ]  # fmt: skip
    assert states[1].reason == "RuntimeError: pulled the plug (exit code 1)"
    assert states[2].reason == "killed by SIGKILL"
    assert states[3].reason == "Expected `x` to be good. (exit code 1)"
    assert seen.count("running") == 6
    assert "rank None" in states[0].log.read_text()  # Ranks of another job are not inherited.
    assert job_line(states[2], 6) == "job 3/6  failed  kill2  killed by SIGKILL"


def test_finished_jobs_are_not_started(tmp_path):
    states = run_jobs(jobs("raise", finished=True), Resources(1, 1), tmp_path, command=COMMAND)
    assert [state.state for state in states] == ["reused"]
    assert not states[0].log.exists()


def test_every_job_has_gpus_of_its_own(tmp_path):
    resources = Resources.of(jobs(*["fine"] * 4, gpu=True, ranks=2), gpus=list("0123"), cpus=16)
    assert resources == Resources(2, 4, tuple("0123"))
    running, most = set(), 0

    def watch(states, changed):
        nonlocal most
        running.clear()
        running.update(s.number for s in states if s.state == "running")
        most = max(most, len(running))

    states = run_jobs(
        jobs(*["fine"] * 4, gpu=True, ranks=2), resources, tmp_path, command=COMMAND,
        on_change=watch,
    )  # fmt: skip
    assert most == 2
    texts = [state.log.read_text().split("gpus ")[1].split("\n")[0] for state in states]
    assert set(texts) == {"0,1", "2,3"}


@pytest.mark.parametrize(
    ("count", "options", "expected"),
    [
        (6, {"cpus": 2}, Resources(2, 1)),
        (1, {"cpus": 2}, Resources(1, 2)),
        (6, {"cpus": 16, "at_once": 4}, Resources(4, 4)),
        (3, {"cpus": 1}, Resources(1, 1)),
        (0, {"cpus": 4}, Resources(1, 4)),
    ],
)
def test_cpus_are_shared_out(count, options, expected):
    assert Resources.of(jobs(*["fine"] * count), **options) == expected


def test_ranks_share_the_cpus_too():
    assert Resources.of(jobs("fine", "fine", ranks=2), cpus=8) == Resources(2, 2)


def test_two_jobs_may_share_a_gpu():
    both = jobs("fine", "fine", gpu=True)
    assert Resources.of(both, gpus=["0"], cpus=4).at_once == 1
    assert Resources.of(both, gpus=["0"], cpus=4, jobs_per_gpu=2) == Resources(2, 2, ("0", "0"))


def test_impossible_resources_are_refused():
    with pytest.raises(ValueError, match="Expected at least 2 GPUs for 'fine0', but 1 are"):
        Resources.of(jobs("fine", gpu=True, ranks=2), gpus=["0"])
    with pytest.raises(ValueError, match=r"`launcher\.threads`"):
        Resources.of(jobs("fine"), threads=0)


def test_visible_gpus_are_those_of_the_environment(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5")
    assert visible_gpus() == ["2", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []


def test_ctrl_c_lets_running_jobs_end_and_starts_no_other(tmp_path):
    def watch(states, changed):
        log = states[0].log
        if log.is_file() and "ready" in log.read_text() and not sent:
            sent.append(1)
            signal.raise_signal(signal.SIGINT)

    sent = []
    states = run_jobs(
        jobs("wait", "fine"), Resources(1, 1), tmp_path, command=COMMAND, on_change=watch
    )
    assert [state.state for state in states] == ["stopped", "waiting"]
    assert states[0].exit_code == 143


def test_the_same_sweep_does_not_run_twice_at_once(tmp_path):
    refused = []

    def watch(states, changed):
        log = states[0].log
        if log.is_file() and "ready" in log.read_text() and not refused:
            with pytest.raises(OSError, match="This sweep is running already") as error:
                run_jobs(jobs("wait"), Resources(1, 1), tmp_path, command=COMMAND)
            refused.append(str(error.value))
            assert "ready" in log.read_text()
            signal.raise_signal(signal.SIGINT)

    states = run_jobs(jobs("wait"), Resources(1, 1), tmp_path, command=COMMAND, on_change=watch)
    assert [state.state for state in states] == ["stopped"]
    assert f"by process {os.getpid()}" in refused[0]
    # It ended, so it can go on.
    states = run_jobs(jobs("fine"), Resources(1, 1), tmp_path, command=COMMAND)
    assert states[0].state == "finished"


def test_the_log_of_a_job_that_outlives_its_sweep_is_kept(tmp_path):
    with (tmp_path / "1.log").open("wb") as alive:
        alive.write(b"error: an earlier one\n")
        (state,) = run_jobs(jobs("raise"), Resources(1, 1), tmp_path, command=COMMAND)
        alive.write(b"saved\n")
    assert (tmp_path / "1.previous.log").read_text() == "error: an earlier one\nsaved\n"
    assert "earlier" not in state.log.read_text()
    assert "pulled the plug" in state.reason


def test_jobs_of_an_allocation_do_not_take_its_tasks_for_their_ranks(tmp_path, monkeypatch):
    """A sweep within an sbatch script: Lightning refuses two ranks where SLURM counts one task."""
    from lightning.fabric.plugins.environments import SLURMEnvironment
    from lightning.fabric.utilities.rank_zero import _get_rank

    for name in ("LOCAL_RANK", "RANK", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert SLURMEnvironment.detect()
    assert _get_rank() == 3
    inherited = job_environment(tmp_path / "report", 1)
    for name in set(os.environ) - set(inherited):
        monkeypatch.delenv(name)
    assert not SLURMEnvironment.detect()
    assert _get_rank() is None


def test_what_a_job_leaves_behind_is_ended(tmp_path):
    states = run_jobs(jobs("orphan"), Resources(1, 1), tmp_path, command=COMMAND)
    assert states[0].state == "finished"
    # A signal is delivered, and its process gone, some time after it was sent.
    deadline = time.monotonic() + 20
    while (left := _orphans()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def _orphans():
    return [p for p in os.listdir("/proc") if p.isdigit() and "orphan\0" in _command(p)]


def _command(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as file, open(f"/proc/{pid}/stat") as stat:
            zombie = stat.read().rsplit(")", 1)[1].split()[0] == "Z"
            return "" if zombie or int(pid) == os.getpid() else file.read()
    except OSError:
        return ""


def test_status_round_trip(tmp_path, monkeypatch):
    file = tmp_path / "1.status.json"
    monkeypatch.setenv("CORRLIGHT_STATUS", str(file))
    assert read_status(file) is None
    status = JobStatus(folder="runs/a", epoch=1, epochs=3, seconds_left=4.0, ap=0.25)
    report_status(status)
    assert read_status(file) == status
    file.write_text('{"folder": "x", "epo')
    assert read_status(file) is None
    file.write_text(json.dumps({"folder": "x", "unknown": 1}))
    assert read_status(file) is None
    assert format_seconds(80) == "1 min 20 s"
