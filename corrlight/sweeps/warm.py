"""Jobs that start at once: forked from a process that has imported what all of them import.

Importing torch, Lightning and what they bring takes seconds, a fork milliseconds. What is forked
has one thread, has touched no GPU and has run nothing, so a job finds what a new process would.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from corrlight.sweeps.process import end_with_parent

__all__ = ["IMPORTED", "WarmJob", "WarmStart"]

# What every training imports.
IMPORTED = (
    "corrlight.app", "corrlight.assigners", "corrlight.config.build", "corrlight.criteria",
    "corrlight.data.loading.loader", "corrlight.engine.prepare", "corrlight.engine.test",
    "corrlight.engine.train", "corrlight.module", "corrlight.reporting.summary",
    "hydra._internal.utils", "lightning.pytorch", "matplotlib.pyplot", "torchvision.ops",
)  # fmt: skip
_NUMBER = struct.Struct("!i")


class WarmJob:
    """A forked job, with the methods of ``subprocess.Popen`` that a sweep needs.

    Attributes:
        pid: Of its process, which leads a session of its own.
        returncode: None while it runs; negative is the signal that ended it.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self.returncode: int | None = None
        pid = self._read()
        if pid is None:
            os.close(pipe)
            raise ChildProcessError("The process that starts the jobs has ended; see its output.")
        self.pid = pid

    def poll(self) -> int | None:
        """Return the exit code, None while the job runs."""
        if self.returncode is None and select.select([self._pipe], [], [], 0)[0]:
            code = self._read()
            os.close(self._pipe)
            # Without a code: the process that would have told it was killed, and this one with it.
            self.returncode = -signal.SIGKILL if code is None else code
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once the job has ended.

        Raises:
            subprocess.TimeoutExpired: It still runs after ``timeout`` seconds.
        """
        if self.returncode is None:
            select.select([self._pipe], [], [], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(f"job {self.pid}", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal to the job's process, where it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _read(self) -> int | None:
        data = os.read(self._pipe, _NUMBER.size)
        return int(_NUMBER.unpack(data)[0]) if len(data) == _NUMBER.size else None


class WarmStart:
    """Starts jobs from one process that is ready for them; it ends with this one.

    Args:
        environment: Of that process: what libraries read when they are imported holds for all jobs.
        modules: What it imports, while this process goes on.
    """

    def __init__(self, environment: Mapping[str, str], modules: Sequence[str] = IMPORTED) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "corrlight.sweeps.warm", str(number), *modules],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(number,),
                start_new_session=True,
                preexec_fn=end_with_parent,
                env=environment,
            )

    def start(
        self, command: Sequence[str], output: IO[bytes], environment: Mapping[str, str]
    ) -> WarmJob:
        """Start a job in a session of its own, asked to stop when this process dies.

        Args:
            command: What follows ``python``: ``-m`` and a module, or a file, and arguments.
            output: What it prints goes there.
            environment: All of its variables.

        Raises:
            ChildProcessError: The process that starts the jobs has ended.
        """
        request = {
            "command": [str(word) for word in command],
            "environment": dict(environment),
            "folder": os.getcwd(),
        }
        body = json.dumps(request).encode()
        pipe, theirs = os.pipe()
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # Then no pid comes.
                head = [_NUMBER.pack(len(body))]
                socket.send_fds(self._socket, head, [output.fileno(), theirs])
                self._socket.sendall(body)
        finally:
            os.close(theirs)
        return WarmJob(pipe)

    def close(self) -> None:
        """End the process; jobs that still run are asked to stop."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


# The other side.


@dataclass(frozen=True, slots=True)
class _Request:
    command: list[str]
    environment: dict[str, str]
    folder: str
    output: int
    pipe: int


def _main(number: int, modules: Sequence[str]) -> None:
    # As a job does first: Lightning adds a handler of its own where there is none.
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in modules:
        importlib.import_module(name)
    request = _serve(socket.socket(fileno=number))
    if request is None:
        return
    # What ends the job from here on ends this process, as that of any other command.
    first, *others = request.command
    if first == "-m":
        sys.argv = others
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = request.command
        runpy.run_path(first, run_name="__main__")


def _serve(connection: socket.socket) -> _Request | None:
    """Fork for every request; return it in the child, None here once nobody can ask any more."""
    jobs: dict[int, int] = {}
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    server, asked = os.getpid(), connection.fileno()
    while True:
        ready = select.select([asked, woken], [], [])[0]
        if woken in ready:
            os.read(woken, 4096)
            _tell_ends(jobs)
        if asked not in ready:
            continue
        request = _receive(connection)
        if request is None:
            return None
        pid = os.fork()
        if pid:
            os.close(request.output)
            jobs[pid] = request.pipe
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        connection.close()
        for other in (woken, wake, *jobs.values()):
            os.close(other)
        _become(request, server)
        return request


def _tell_ends(jobs: dict[int, int]) -> None:
    for pid in list(jobs):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            pipe = jobs.pop(pid)
            with contextlib.suppress(BrokenPipeError):
                os.write(pipe, _NUMBER.pack(os.waitstatus_to_exitcode(status)))
            os.close(pipe)


def _receive(connection: socket.socket) -> _Request | None:
    head, files, _, _ = socket.recv_fds(connection, _NUMBER.size, 2)
    if not head:
        return None
    with connection.makefile("rb") as stream:
        body: dict[str, Any] = json.loads(stream.read(_NUMBER.unpack(head)[0]))
    output, pipe = files
    return _Request(output=output, pipe=pipe, **body)


def _become(request: _Request, server: int) -> None:
    """Take over the place, the output and the environment of a job, and say which process it is."""
    os.setsid()
    end_with_parent()
    if os.getppid() != server:
        os._exit(128 + signal.SIGTERM)
    for target in (1, 2):
        os.dup2(request.output, target)
    os.close(request.output)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    os.write(request.pipe, _NUMBER.pack(os.getpid()))
    os.close(request.pipe)


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2:])
