import importlib.util
import os
import signal
import subprocess
import sys
import time

import pytest

from corrlight.sweeps.warm import IMPORTED, WarmStart

JOB = """
import os, signal, sys, time
what, *others = sys.argv[1:]
print(what, others, os.getcwd(), os.environ.get("MINE"), __name__, flush=True)
print(*sorted({"fractions", "torch"} & sys.modules.keys()), flush=True)
if what == "exit":
    sys.exit(3)
if what == "raise":
    raise RuntimeError("pulled the plug")
if what == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if what == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("stopped", flush=True) or 143))
    print("ready", flush=True)
    for _ in range(600):  # A signal just before a long sleep would wait for its end.
        time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """Return a file, beside which there is a module ``mine``."""
    file = tmp_path_factory.mktemp("jobs") / "job.py"
    file.write_text(JOB)
    file.with_name("mine.py").write_text(
        "import sys, __main__\nprint(__main__.__spec__.name, sys.argv[1:], 'json' in sys.modules)"
    )
    return file


@pytest.fixture(scope="module")
def warm(script):
    started = warm_start(script)
    yield started
    started.close()


def warm_start(script):
    path = os.pathsep.join([str(script.parent), *sys.path])
    return WarmStart({**os.environ, "PYTHONPATH": path}, ["fractions"])


def started(warm, log, *command, **variables):
    with log.open("wb") as output:
        return warm.start(command, output, {**os.environ, **variables})


def wait_for(text, log):
    deadline = time.monotonic() + 30
    while text not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_job_is_what_a_new_process_would_be(warm, script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "log"
    job = started(warm, log, script, "fine", "a=1", MINE="yes")
    assert job.wait(30) == job.poll() == job.returncode == 0
    assert log.read_text() == f"fine ['a=1'] {tmp_path} yes __main__\nfractions\n"
    assert job.pid != os.getpid()


def test_a_module_knows_its_name(warm, tmp_path):
    """Lightning starts the ranks of a job by the name of its main module."""
    log = tmp_path / "log"
    assert started(warm, log, "-m", "mine", "a=1").wait(30) == 0
    assert log.read_text() == "mine ['a=1'] True\n"


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [("exit", 3, ""), ("raise", 1, "RuntimeError: pulled the plug"), ("kill", -signal.SIGKILL, "")],
)
def test_its_end_is_told(warm, script, tmp_path, what, code, said):
    log = tmp_path / "log"
    assert started(warm, log, script, what).wait(30) == code
    assert said in log.read_text()
    # It took nothing else with it.
    assert started(warm, log, script, "fine").wait(30) == 0


def test_it_is_stopped_like_any_other(warm, script, tmp_path):
    log, other = tmp_path / "log", tmp_path / "other"
    job, idle = (started(warm, file, script, "wait") for file in (log, other))
    assert os.getsid(job.pid) == job.pid != os.getsid(0)
    for file in (log, other):
        wait_for("ready", file)
    with pytest.raises(subprocess.TimeoutExpired):
        job.wait(0.01)
    job.terminate()
    assert job.wait(30) == 143
    assert idle.poll() is None
    idle.kill()
    assert idle.wait(30) == -signal.SIGKILL
    idle.kill()  # It is gone: no error.


def test_jobs_end_with_what_started_them(script, tmp_path):
    warm, log = warm_start(script), tmp_path / "log"
    job = started(warm, log, script, "wait")
    wait_for("ready", log)
    warm._process.kill()
    assert job.wait(30) == -signal.SIGKILL  # Nobody is left who knows its code.
    wait_for("stopped", log)  # It was asked to.
    assert "stopped" in log.read_text()
    with pytest.raises(ChildProcessError, match="The process that starts the jobs has ended"):
        started(warm, log, script, "fine")
    warm.close()


def test_a_module_that_is_not_there_is_said(tmp_path, capfd):
    warm = WarmStart(os.environ, ["no_such_module"])
    with pytest.raises(ChildProcessError, match="see its output"):
        started(warm, tmp_path / "log", sys.executable)
    warm.close()
    assert "No module named 'no_such_module'" in capfd.readouterr().err


def test_what_jobs_import_is_there():
    assert all(importlib.util.find_spec(name) for name in IMPORTED)
