"""What every test gets: few threads, and torchsort tests skipped by name where it is missing."""

import importlib.util
import os
import signal

import pytest
import torch
from hypothesis import settings

# The same examples in every run, so that a red test means a change. New ones are looked for with
# HYPOTHESIS_PROFILE=explore.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Two busy test processes with two threads each slow each other tenfold on two cores.
torch.set_num_threads(1)

# A shell starts what runs in its background deaf to Ctrl-C, which tests send to themselves and to
# the processes that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("torchsort") is None:
        skip = pytest.mark.skip(reason="torchsort is not installed")
        for item in items:
            if "torchsort" in item.keywords:
                item.add_marker(skip)
    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="no CUDA device")
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(skip)
