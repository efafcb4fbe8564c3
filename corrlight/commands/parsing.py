"""Command lines of sub-commands: errors of one line and their exit codes."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from corrlight.atomic import DISK_FULL
from corrlight.runs.ending import BAD_INPUT, INTERRUPTED

__all__ = ["Parser", "guarded"]


# Of a process that SIGTERM ended.
_TERMINATED = 128 + signal.SIGTERM


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and end with 2."""
        print(f"error: {message} ({self.prog} --help)", file=sys.stderr)
        raise SystemExit(BAD_INPUT)


def guarded(
    parse: Callable[[Sequence[str] | None], argparse.Namespace],
    argv: Sequence[str] | None,
    command: Callable[[argparse.Namespace], int],
    *,
    reader_may_leave: bool = False,
) -> int:
    """Parse a command line and run it; return the exit code.

    Args:
        parse: Returns the options of the arguments, or ends as a :class:`Parser` does.
        argv: The arguments; None for those of the process.
        command: Called with the options; returns the exit code.
        reader_may_leave: Whether a command is done when nobody reads on (``... | head``): nothing
            but a summary is lost. Otherwise that is an error like any other of the system.

    Returns:
        That of the command, 2 if it raises ``ValueError`` or ``OSError``, 130 if stopped by Ctrl-C
        and 143 by SIGTERM, which leaves as little behind.
    """
    try:
        with _sigterm_unwinds():
            return command(parse(argv))
    except SystemExit as error:
        if error.code == _TERMINATED:
            print("Stopped; nothing was written.", file=sys.stderr)
        return int(error.code or 0)
    except (ValueError, OSError) as error:
        if reader_may_leave and isinstance(error, BrokenPipeError):
            discard_output()
            return 0
        if os.environ.get("CORRLIGHT_TRACEBACK"):
            traceback.print_exc()
        print(f"error: {' '.join(_words(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        return INTERRUPTED


def discard_output() -> None:
    """Send what is still to be printed nowhere, once its reader has left (``... | head``)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _words(error: Exception) -> str:
    """Return an error in words, with the way out of a full disk."""
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return f"{error}. Make room there, or write to another disk."
    return str(error)


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """Have SIGTERM leave every block as an exception does, unless somebody answers it already.

    By default it ends the process at once, and temporary folders stay.
    """
    answered = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    if answered or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> NoReturn:
        raise SystemExit(_TERMINATED)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
