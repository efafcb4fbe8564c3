"""A bar on the terminal for what takes long; nothing where the output is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress"]


@contextmanager
def progress(text: str, total: int) -> Iterator[Callable[[], None]]:
    """Yield a function that moves a bar on by one.

    Args:
        text: Beside the bar.
        total: Steps until it is full.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(text, total=total)
        yield lambda: bar.advance(task)
