"""The port at which the ranks of a run meet, where something else has it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["PortInUseError", "explain_port"]


class PortInUseError(RuntimeError):
    """The ranks cannot meet; the message is one line with the way out."""


@contextmanager
def explain_port() -> Iterator[None]:
    """Raise :class:`PortInUseError` where another process listens at the ranks' port."""
    try:
        yield
    except RuntimeError as error:  # Its own class, DistNetworkError, is raised from torch 2.7 on.
        if "EADDRINUSE" not in str(error):
            raise
        port = os.environ.get("MASTER_PORT", "")
        raise PortInUseError(
            f"Another process listens at port {port}, where the ranks were to meet. Set "
            "MASTER_PORT to a free one, or unset it where corrlight starts the ranks, which then "
            "takes one (torchrun: --rdzv-backend=c10d --rdzv-endpoint=localhost:0)."
        ) from error
