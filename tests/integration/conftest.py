"""A few tiny images and the options that train on them in seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def options(tmp_path, data_dir) -> list[str]:
    """Overrides of a run of two short epochs in its own folder."""
    return [
        f"paths.runs_dir={tmp_path / 'runs'}",
        f"paths.data_dir={data_dir}",
        "trainer=cpu",
        "data.num_train=16",
        "data.num_val=6",
        "data.image_size=64",
        "data.batch_size=4",
        "data.num_workers=0",
        "schedule.max_epochs=2",
        "schedule.scheduler.warmup_steps=2",
        "schedule.scheduler.milestones=[8,9]",
        "callbacks.pictures.num_images=2",
    ]


def run_py(*overrides: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run ``python run.py`` as a user would."""
    return subprocess.run(
        [sys.executable, ROOT / "run.py", *overrides],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def run_folder(runs: Path) -> Path:
    """Return the only run folder below ``runs``."""
    found = [p for p in runs.glob("*/*") if p.is_dir() and ".old" not in p.name]
    assert len(found) == 1, found
    return found[0]
