"""What a process does before it runs tests."""

import os

import torch
from hypothesis import settings
from hypothesis.internal.conjecture import providers

from corrlight.config import compose
from tests.helpers.composed_once import composed_once, read_files_once

__all__ = ["prepare"]


def prepare() -> None:
    """Set threads, the examples of properties, and the memory of compositions."""
    # The same examples in every run, so that a red test means a change. New ones are looked for
    # with HYPOTHESIS_PROFILE=explore.
    settings.register_profile("repeatable", derandomize=True)
    settings.register_profile("explore", derandomize=False)
    profile = os.environ.get("HYPOTHESIS_PROFILE", "repeatable")
    settings.load_profile(profile)
    if profile == "repeatable" and hasattr(providers, "_get_local_constants"):
        _ask_no_sources()

    # Two busy test processes with two threads each slow each other tenfold on two cores.
    torch.set_num_threads(1)

    compose.compose = composed_once(compose.compose)
    read_files_once()


def _ask_no_sources() -> None:
    """Leave the numbers of all imported sources out of the examples.

    Which modules a process has imported by then depends on the tests that it was handed, so the
    examples did as well; and reading them takes ten seconds a process.
    """
    none = providers._local_constants  # Empty until sources have been read.
    providers._get_local_constants = lambda: none
