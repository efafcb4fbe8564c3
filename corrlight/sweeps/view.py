"""The jobs of a sweep on the terminal: a live table, or plain lines where there is none."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from types import TracebackType

from rich import get_console
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from corrlight.runs.status import format_seconds
from corrlight.sweeps.job import JobState

__all__ = ["JobView", "job_line", "job_table"]

_COLOURS = {
    "waiting": "dim",
    "running": "cyan",
    "finished": "green",
    "reused": "green",
    "failed": "red",
    "stopped": "yellow",
}
# What becomes a line with a count, one after the other, until the table fits into the terminal: a
# taller one would lose its end, where the running jobs are. The summary names every failed one.
_FOLDED_IN_TURN = ("reused", "finished", "waiting", "stopped", "failed")


class JobView:
    """Shows states as they change; give an instance to :func:`corrlight.sweeps.pool.run_jobs`.

    Used as a context manager around the sweep.
    """

    def __init__(self) -> None:
        self._live: Live | None = None
        self._states: Sequence[JobState] = ()
        self._last_drawn = 0.0

    def __enter__(self) -> JobView:
        console = get_console()
        if console.is_terminal:
            self._live = Live(console=console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.update(job_table(self._states) if self._states else "")
            self._live.stop()  # Draws it, however tall.

    def __call__(self, states: Sequence[JobState], changed: JobState | None) -> None:
        """Redraw the table at most twice a second, or print a line for ``changed``."""
        self._states = states
        if self._live is None:
            if changed is not None:
                print(job_line(changed, len(states)), flush=True)
        elif changed is not None or time.monotonic() - self._last_drawn > 0.5:
            self._last_drawn = time.monotonic()
            self._live.update(_FittingTable(states), refresh=True)


class _FittingTable:
    """The table of all jobs, folded as far as the terminal's height asks for."""

    def __init__(self, states: Sequence[JobState]) -> None:
        self._states = states

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.size.height
        for count in range(len(_FOLDED_IN_TURN) + 1):
            folded = _FOLDED_IN_TURN[:count]
            table = job_table(self._states, folded)
            # Counted first: rendering is slow for thousands of rows, which cannot fit.
            if table.row_count < height and _lines(console, options, table) <= height:
                break
        yield table


def _lines(console: Console, options: ConsoleOptions, table: Table) -> int:
    return len(console.render_lines(table, options, pad=False))


def job_line(state: JobState, total: int) -> str:
    """Return one plain line about a job."""
    parts = [f"job {state.number}/{total}", state.state, state.job.name]
    parts += [part for part in (_epochs(state), _measure(state), _left(state)) if part]
    parts += [state.reason] if state.reason else []
    return "  ".join(parts)


def job_table(states: Sequence[JobState], folded: Collection[str] = ()) -> Table:
    """Return the table of all jobs; those in a state of ``folded`` are a line with their count."""
    table = Table(box=None, pad_edge=False)
    table.add_column("job", justify="right")
    table.add_column("run", overflow="fold")
    for name, justify in (("state", "left"), ("epoch", "right"), ("AP", "right"), ("ETA", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("", overflow="fold")
    for name, count in Counter(s.state for s in states if s.state in folded).items():
        table.add_row("", f"{count} {'job' if count == 1 else 'jobs'}", _coloured(name))
    for state in states:
        if state.state in folded:
            continue
        table.add_row(
            str(state.number),
            escape(state.job.name),
            _coloured(state.state),
            _epochs(state).removeprefix("epoch "),
            _measure(state).removeprefix("AP "),
            _left(state).removeprefix("ETA "),
            escape(state.reason or state.job.note),
        )
    return table


def _coloured(state: str) -> str:
    return f"[{_COLOURS[state]}]{state}[/]"


def _epochs(state: JobState) -> str:
    status = state.status
    if status is None:
        return ""
    return f"epoch {status.epoch}" + (f"/{status.epochs}" if status.epochs else "")


def _measure(state: JobState) -> str:
    ap = state.job.ap if state.status is None else state.status.ap
    return "" if ap is None else f"AP {100 * ap:.1f}"


def _left(state: JobState) -> str:
    status = state.status
    if state.state != "running" or status is None or not status.seconds_left:
        return ""
    return f"ETA {format_seconds(status.seconds_left)}"
