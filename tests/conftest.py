"""What every test gets: few threads, and torchsort tests skipped by name where it is missing."""

import importlib.util

import pytest
import torch

# Two busy test processes with two threads each slow each other tenfold on two cores.
torch.set_num_threads(1)


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
