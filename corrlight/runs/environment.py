"""What a run was made with: versions, commit, hardware, time."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from corrlight import RESULTS_VERSION, __version__
from corrlight.ops.switch import operators_on

__all__ = ["describe_environment", "git_commit"]

_PACKAGES = (
    "torch", "torchvision", "lightning", "hydra-core", "omegaconf", "numpy", "scipy",
    "pycocotools", "torchsort", "pillow", "wandb",
)  # fmt: skip


def git_commit() -> dict[str, Any] | None:
    """Return the commit of the source tree and whether it was changed, None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None

    def git(*args: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        commit = git("rev-parse", "HEAD")
        return {"commit": commit or None, "modified": bool(git("status", "--porcelain", "-uno"))}
    except OSError:  # No git on this machine.
        return None


def describe_environment() -> dict[str, Any]:
    """Return versions, commit and hardware as plain containers."""
    import torch  # Takes seconds, and tables ask for the commit only.

    packages: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    return {
        "corrlight": __version__,
        "results_version": RESULTS_VERSION,
        "python": platform.python_version(),
        "packages": packages,
        "git": git_commit(),
        "hardware": {
            "platform": platform.platform(),
            "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
            "threads": torch.get_num_threads(),
            "fast_cpu": list(operators_on()),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        },
    }
