"""Two processes on the CPU that compute the same function together."""

from __future__ import annotations

import contextlib
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from corrlight.sweeps.process import signal_group
from tests.helpers.ranks.process_group import start_warm


def on_two_ranks(function: Callable[[int], Any], folder: Path, seconds: float) -> list[Any]:
    """Return what ``function(rank)`` gives on each of two ranks of one process group.

    Args:
        function: Of a module; what it returns is tensors and plain containers.
        folder: An empty one.
        seconds: How long they may take, each.
    """
    _function(folder).write_bytes(pickle.dumps(function))
    with (folder / "output").open("w+b") as output:
        command = ["-m", "tests.helpers.ranks.two_ranks", folder]
        pair = [start_warm([*command, rank], output) for rank in (0, 1)]
        hung = []
        for process in pair:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
        for process in pair:
            if process.poll() is None:
                hung.append(process)
                signal_group(process, signal.SIGKILL)
        output.seek(0)
        printed = output.read().decode(errors="replace")
    assert not hung, f"a rank waits for the other one\n{printed}"
    assert [process.returncode for process in pair] == [0, 0], printed
    return [torch.load(_result(folder, rank), weights_only=True) for rank in (0, 1)]


def _main(folder: Path, rank: int) -> None:
    torch.set_num_threads(1)
    function = pickle.loads(_function(folder).read_bytes())
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    torch.save(function(rank), _result(folder, rank))
    dist.destroy_process_group()


def _function(folder: Path) -> Path:
    return folder / "function.pickle"


def _result(folder: Path, rank: int) -> Path:
    return folder / f"rank{rank}.pt"


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]))
