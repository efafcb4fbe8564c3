"""Command lines of ``corrlight data``: errors of one line and their exit codes."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

__all__ = ["BAD_INPUT", "INTERRUPTED", "Parser", "guarded"]

BAD_INPUT, INTERRUPTED = 2, 130


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and end with 2."""
        print(f"error: {message} ({self.prog} --help)", file=sys.stderr)
        raise SystemExit(BAD_INPUT)


def guarded(
    parser: argparse.ArgumentParser,
    argv: Sequence[str],
    command: Callable[[argparse.Namespace], int],
) -> int:
    """Parse a command line and run it; return the exit code.

    Args:
        parser: Its options.
        argv: The arguments.
        command: Called with them; returns the exit code.

    Returns:
        That of the command, 2 if it raises ``ValueError`` or ``OSError``, 130 if stopped.
    """
    try:
        return command(parser.parse_args(argv))
    except SystemExit as error:
        return int(error.code or 0)
    except BrokenPipeError:  # the reader of the summary has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        if os.environ.get("CORRLIGHT_TRACEBACK"):
            traceback.print_exc()
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        return INTERRUPTED
