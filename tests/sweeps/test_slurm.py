"""Submissions through submitit: its local executor, and a SLURM of four shell scripts."""

import os
import signal
import stat
import sys
import threading
import time

import pytest

from corrlight.sweeps import slurm
from corrlight.sweeps.job import Job
from corrlight.sweeps.slurm import SlurmOptions, run_slurm_jobs

# Stands for run.py: does what its first argument says.
SCRIPT = """
import os, pathlib, signal, sys, time
what, folder = sys.argv[1], pathlib.Path(sys.argv[2])
assert sys.argv[-1] == "hydra.mode=RUN"
print("threads", os.environ["OMP_NUM_THREADS"], "tasks", os.environ.get("SLURM_NTASKS"))
print("node", os.environ.get("NODE_RANK"), os.environ.get("MASTER_ADDR"), flush=True)
if what == "raise":
    raise RuntimeError("pulled the plug")
if what == "wait":
    if (folder / "saved").exists():
        print("goes on")
        sys.exit(0)
    def save(*_):
        (folder / "saved").touch()
        sys.exit(143)
    signal.signal(signal.SIGTERM, save)
    (folder / "ready").touch()
    time.sleep(60)
"""
COMMAND = (sys.executable, "-c", SCRIPT)
FAKES = {
    "sbatch": """
n=$(($(ls "$FAKE"/*.pid 2>/dev/null | wc -l) + 1))
grep -q -- '--partition=none' "$1" && { echo 'sbatch: error: invalid partition' >&2; exit 1; }
cp "$1" "$FAKE/$n.sh"
SLURM_JOB_ID=$n SLURM_NTASKS=1 SLURM_CPUS_PER_TASK=4 SLURM_JOB_NUM_NODES=1 \
    setsid bash -c 'trap : USR1 TERM; . "$0"' "$1" > "$FAKE/$n.out" 2>&1 &
echo $! > "$FAKE/$n.pid"
echo "Submitted batch job $n"
""",
    "srun": """
while [ "${1#-}" != "$1" ]; do [ "$1" = --output ] && shift; shift; done
exec "$@"
""",
    "squeue": """
for f in "$FAKE"/*.pid; do
    [ -e "$f" ] || continue
    n=$(basename "$f" .pid)
    if kill -0 "$(cat "$f")" 2>/dev/null; then
        [ -e "$FAKE/$n.cancelled" ] && echo "$n COMPLETING" || echo "$n RUNNING"
    fi
done
""",
    "scancel": """touch "$FAKE/$1.cancelled"; kill -TERM -- "-$(cat "$FAKE/$1.pid")" """,
    "scontrol": """
touch "$FAKE/$2.requeued"
old=$(cat "$FAKE/$2.pid")
(trap '' TERM; while kill -0 "$old" 2>/dev/null; do sleep 0.05; done
SLURM_JOB_ID=$2 SLURM_NTASKS=1 SLURM_CPUS_PER_TASK=4 SLURM_JOB_NUM_NODES=1 \
    exec setsid bash -c 'trap : USR1 TERM; . "$0"' "$FAKE/$2.sh" >> "$FAKE/$2.out" 2>&1) &
echo $! > "$FAKE/$2.pid"
""",
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(slurm, "_QUEUE_SECONDS", 0.2)
    monkeypatch.setattr(slurm, "_POLL_SECONDS", 0.05)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Put the scripts on the path; return the folder of their state."""
    folder = tmp_path / "fake"
    folder.mkdir()
    for name, text in FAKES.items():
        path = folder / name
        path.write_text(f"#!/bin/bash\n{text}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(folder))
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SUBMITIT_"))]:
        monkeypatch.delenv(name)
    return folder


def jobs(tmp_path, *kinds, **options):
    made = []
    for k, kind in enumerate(kinds):
        folder = tmp_path / f"run{k}"
        folder.mkdir(exist_ok=True)
        made.append(Job(name=f"{kind}{k}", overrides=(kind, str(folder)), folder=folder, **options))
    return made


def when(path, action):
    """Call ``action`` as soon as ``path`` exists."""

    def wait():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not path.exists():
            time.sleep(0.05)
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_every_end_has_its_reason_and_a_stopped_job_goes_on(tmp_path):
    logs = tmp_path / "logs"
    seen = []

    def watch(states, changed):
        for state in states:
            if state.reason.startswith("local job ") and state.job.name == "wait2":
                pid = int(state.reason.rpartition(" ")[2])
                ready = state.job.folder / "ready"
                if not seen and ready.exists():
                    seen.append(pid)
                    os.kill(pid, signal.SIGTERM)

    states = run_slurm_jobs(
        [*jobs(tmp_path, "fine", "raise", "wait"), *jobs(tmp_path, "raise", finished=True)],
        SlurmOptions(executor="local", minutes=5),
        logs,
        command=COMMAND,
        on_change=watch,
    )
    assert [state.state for state in states] == ["finished", "failed", "finished", "reused"]
    assert states[1].reason == "RuntimeError: pulled the plug (exit code 1)"
    assert seen
    text = states[2].log.read_text()
    assert text.count("threads") == 2
    assert text.endswith("goes on\n")


def test_what_is_submitted(tmp_path, cluster):
    options = SlurmOptions(
        cpus=2,
        memory_gb=8,
        partition="gpu",
        setup=["export MINE=1"],
        additional={"mail-type": "END"},
    )
    (job,) = jobs(tmp_path, "fine", ranks=2, gpu=True)
    assert options.check([job]) == "1 at once as slurm submissions"
    (state,) = run_slurm_jobs([job], options, tmp_path / "logs", command=COMMAND)
    assert state.state == "finished", state.reason
    assert state.log.read_text() == "threads 2 tasks None\nnode None None\n"
    text = (cluster / "1.sh").read_text()
    for line in (
        "--cpus-per-task=4", "--gpus-per-node=2", "--mem=8192M", "--nodes=1", "--ntasks-per-node=1",
        "--partition=gpu", "--time=1440", "--signal=USR2@120", "--mail-type=END",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in text
    assert text.index("export MINE=1") < text.index("srun")


@pytest.mark.slow
def test_preempted_jobs_are_requeued_and_refused_ones_fail(tmp_path, cluster):
    (job,) = jobs(tmp_path, "wait")

    def preempt():
        os.killpg(int((cluster / "1.pid").read_text()), signal.SIGUSR1)

    thread = when(job.folder / "ready", preempt)
    (state,) = run_slurm_jobs([job], SlurmOptions(), tmp_path / "logs", command=COMMAND)
    thread.join()
    assert (cluster / "1.requeued").exists()
    assert state.state == "finished", state.reason
    assert state.log.read_text().endswith("goes on\n")
    refused = run_slurm_jobs(
        jobs(tmp_path, "fine"), SlurmOptions(partition="none"), tmp_path / "other", command=COMMAND
    )
    assert [s.state for s in refused] == ["failed"]
    assert "invalid partition" in refused[0].reason


@pytest.mark.slow
def test_ctrl_c_cancels_and_what_is_in_the_queue_is_not_submitted_again(tmp_path, cluster):
    (job,) = jobs(tmp_path, "wait")
    logs = tmp_path / "logs"

    class LostError(Exception):
        """The terminal is gone."""

    def lose(states, changed):
        if (job.folder / "ready").exists():
            raise LostError

    with pytest.raises(LostError):
        run_slurm_jobs([job], SlurmOptions(), logs, command=COMMAND, on_change=lose)

    told = []

    def interrupt(states, changed):
        if changed is None and not told:
            told.append(states[0].reason)
            raise KeyboardInterrupt

    (state,) = run_slurm_jobs([job], SlurmOptions(), logs, command=COMMAND, on_change=interrupt)
    assert told == ["slurm job 1"]
    assert state.state == "stopped"
    assert (job.folder / "saved").exists()
    assert not (cluster / "1.requeued").exists()
    assert not (cluster / "2.pid").exists()
    (state,) = run_slurm_jobs([job], SlurmOptions(), logs, command=COMMAND)
    assert state.state == "finished"
    assert (cluster / "2.pid").exists()


def test_what_is_missing_is_named_with_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"no sbatch, srun, squeue, scancel \(launcher=local"):
        SlurmOptions().check([])
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ValueError, match=r"pip install 'corrlight\[slurm\]'"):
        SlurmOptions().check([])


@pytest.mark.parametrize(
    ("name", "value"),
    [("minutes", 0), ("jobs", 0), ("cpus", 1.5), ("executor", "pbs"), ("grace_seconds", 90000)],
)
def test_options_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"`launcher\.{name}`"):
        SlurmOptions(**{name: value})


def test_a_requeued_job_goes_on_where_it_was_to_be_made_anew(tmp_path):
    """With rerun=true again, every requeue would set the half-made run aside."""
    command = [*COMMAND, "seed=1", "rerun=true", "++rerun=true"]
    training = slurm.Training(command, tmp_path / "log", tmp_path / "report", ranks=1)
    (again,) = training.checkpoint().args or (training.checkpoint().function,)
    assert again.command == (*COMMAND, "seed=1")
    assert (again.log, again.report, again.ranks) == (training.log, training.report, 1)
