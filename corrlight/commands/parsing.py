"""Command lines of sub-commands: errors of one line and their exit codes."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from corrlight.atomic import DISK_FULL
from corrlight.runs.ending import BAD_INPUT, INTERRUPTED

__all__ = ["Parser", "guarded"]


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
        That of the command, 2 if it raises ``ValueError`` or ``OSError``, 130 if stopped.
    """
    try:
        return command(parse(argv))
    except SystemExit as error:
        return int(error.code or 0)
    except (ValueError, OSError) as error:
        if reader_may_leave and isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        if os.environ.get("CORRLIGHT_TRACEBACK"):
            traceback.print_exc()
        print(f"error: {' '.join(_words(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        return INTERRUPTED


def _words(error: Exception) -> str:
    """Return an error in words, with the way out of a full disk."""
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return f"{error}. Make room there, or write to another disk."
    return str(error)
