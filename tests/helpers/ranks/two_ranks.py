"""Two processes on the CPU that compute the same function together."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist


def on_two_ranks(function: Callable[[int], Any], folder: Path, seconds: float) -> list[Any]:
    """Return what ``function(rank)`` gives on each of two ranks of one process group.

    Args:
        function: Of a module; what it returns is tensors and plain containers.
        folder: An empty one.
        seconds: How long they may take, each.
    """
    context = multiprocessing.get_context("spawn")
    pair = [context.Process(target=_run, args=(function, rank, folder)) for rank in (0, 1)]
    for process in pair:
        process.start()
    for process in pair:
        process.join(seconds)
    hung = [process for process in pair if process.is_alive()]
    for process in hung:
        process.kill()
    assert not hung, "a rank waits for the other one"
    assert [process.exitcode for process in pair] == [0, 0]
    return [torch.load(_result(folder, rank), weights_only=True) for rank in (0, 1)]


def _run(function: Callable[[int], Any], rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    torch.save(function(rank), _result(folder, rank))
    dist.destroy_process_group()


def _result(folder: Path, rank: int) -> Path:
    return folder / f"rank{rank}.pt"
