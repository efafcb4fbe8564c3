import os
import signal
import sys
import time

import pytest

from corrlight.sweeps.job import Job
from corrlight.sweeps.pool import run_jobs
from corrlight.sweeps.resources import Resources
from corrlight.sweeps.view import job_line

# Stands for run.py: does what its first argument says.
SCRIPT = """
import os, signal, sys, time
what = sys.argv[1]
assert sys.argv[-1] == "hydra.mode=RUN"
print("threads", os.environ["OMP_NUM_THREADS"], "gpus", os.environ.get("CUDA_VISIBLE_DEVICES"))
print("rank", os.environ.get("LOCAL_RANK"), flush=True)
if what == "decode":
    os.makedirs(os.environ["CORRLIGHT_DECODED"], exist_ok=True)
    with open(os.path.join(os.environ["CORRLIGHT_DECODED"], "pixels"), "a+") as file:
        file.seek(0)
        print("decoded before:", file.read())
        file.write("x")
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


@pytest.mark.skipif(sys.platform != "linux", reason="sweeps share on Linux alone")
def test_jobs_share_a_folder_for_decoded_pictures_that_is_gone_afterwards(tmp_path):
    states = run_jobs(jobs("decode", "decode"), Resources(1, 1), tmp_path, command=COMMAND)
    assert [s.log.read_text().splitlines()[-1] for s in states] == [
        "decoded before: ", "decoded before: x",
    ]  # fmt: skip
    assert not (tmp_path / "decoded").exists()


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
