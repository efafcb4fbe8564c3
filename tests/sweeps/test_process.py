import os
import signal
import subprocess
import sys
from pathlib import Path

import corrlight
from corrlight.runs.status import STATUS_FILE
from corrlight.sweeps.process import job_environment, signal_group, start_job

SLEEP = (sys.executable, "-c", "import sys, time; print(sys.argv[1:], flush=True); time.sleep(60)")


def test_a_job_finds_this_package_and_its_report(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "mine")
    environment = job_environment(tmp_path / "report", 3, ["2", "5"])
    home = str(Path(corrlight.__file__).parents[1])
    assert environment["PYTHONPATH"].split(os.pathsep) == [home, "mine"]
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "3"
    assert environment["CUDA_VISIBLE_DEVICES"] == "2,5"
    assert environment[STATUS_FILE] == str(tmp_path / "report")


def test_the_choice_of_gpus_is_left_to_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert job_environment(tmp_path, 1)["CUDA_VISIBLE_DEVICES"] == "7"
    assert job_environment(tmp_path, 1, [])["CUDA_VISIBLE_DEVICES"] == ""


def test_a_job_is_one_run_in_a_session_of_its_own(tmp_path):
    with (tmp_path / "log").open("wb") as output:
        process = start_job([*SLEEP, "seed=1"], output, dict(os.environ))
    try:
        assert os.getsid(process.pid) == process.pid != os.getsid(0)
        signal_group(process, signal.SIGTERM)
        assert process.wait(timeout=30) == -signal.SIGTERM
    finally:
        process.kill()
    signal_group(process, signal.SIGKILL)  # It is gone: no error.


def test_only_one_run_is_asked_for(tmp_path):
    with (tmp_path / "log").open("w+b") as output:
        command = [sys.executable, "-c", "import sys; print(sys.argv[1:])", "seed=1"]
        process = start_job(command, output, dict(os.environ))
        assert isinstance(process, subprocess.Popen)
        assert process.wait(timeout=30) == 0
        output.seek(0)
        assert output.read().decode().strip() == "['seed=1', 'hydra.mode=RUN']"


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
