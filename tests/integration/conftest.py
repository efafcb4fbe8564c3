"""A few tiny images and the options that train on them in seconds."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path

import pytest

from corrlight.app import run as run_app

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


def two_epochs(runs: Path, data_dir: Path) -> list[str]:
    """Return the overrides of a run of two short epochs below ``runs``."""
    return [
        f"paths.runs_dir={runs}",
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


@pytest.fixture(autouse=True)
def drafts(monkeypatch):
    """Figures are empty files, but for that of ``made_once``: one takes as long as an epoch."""

    def save(panels, path):
        path.parent.mkdir(exist_ok=True)
        path.touch()
        return path

    monkeypatch.setattr("corrlight.reporting.summary.plot_score_iou", save)


@pytest.fixture
def options(tmp_path, data_dir) -> list[str]:
    """Overrides of a run of two short epochs in the test's own folder."""
    return two_epochs(tmp_path / "runs", data_dir)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> tuple[Path, str]:
    """Folder of the run of :func:`two_epochs`, only to be read, and what the run printed."""
    folder = tmp_path_factory.mktemp("made_once")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert run_app(two_epochs(folder / "runs", folder / "data")) == 0
    return run_folder(folder / "runs"), printed.getvalue()


@pytest.fixture
def finished(made_once, tmp_path) -> Path:
    """The test's own copy of that run folder, where its ``options`` look for it."""
    run, _ = made_once
    shutil.copytree(run.parents[1], tmp_path / "runs")
    return run_folder(tmp_path / "runs")


def annotations_of(made_once: tuple[Path, str]) -> Path:
    """Return the annotation file of the validation images of that run."""
    (file,) = (made_once[0].parents[2] / "data").rglob("instances_val.json")
    return file


def run_folder(runs: Path) -> Path:
    """Return the only run folder below ``runs``."""
    found = [p for p in runs.glob("*/*") if p.is_dir() and ".old" not in p.name]
    assert len(found) == 1, found
    return found[0]
