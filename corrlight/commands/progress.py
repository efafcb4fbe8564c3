"""How far a command is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Self

__all__ = ["Progress"]

_BETWEEN_LINES = 30.0


class Progress:
    """Counts on stderr, with the number a second and the time left.

    Args:
        what: What is counted, such as "pictures drawn".
        total: How many in all, or None where nobody knows (videos).
        seconds: Between two lines where stderr is no terminal.
    """

    def __init__(self, what: str, total: int | None, seconds: float = _BETWEEN_LINES) -> None:
        self.what, self.total, self.done = what, total, 0
        self._started = self._said = time.perf_counter()
        self._bar = sys.stderr.isatty()
        self._between = 0.2 if self._bar else seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar and self.done:
            print(f"\r\x1b[K{self.line()}", file=sys.stderr)

    def advance(self) -> None:
        """Count one."""
        self.done += 1
        now = time.perf_counter()
        if now - self._said < self._between:
            return
        self._said = now
        before, after = ("\r\x1b[K", "") if self._bar else ("", "\n")
        print(f"{before}{self.line()}", end=after, file=sys.stderr, flush=True)

    def line(self) -> str:
        """Return the state in words."""
        seconds = max(time.perf_counter() - self._started, 1e-9)
        if self.total is None:
            return f"{self.done:,} {self.what}, {self.done / seconds:.1f} a second"
        left = (self.total - self.done) * seconds / max(self.done, 1)
        words = f"{self.done:,} of {self.total:,} {self.what}, {self.done / seconds:.1f} a second"
        return words if self.done == self.total else f"{words}, {left:.0f} s left"
