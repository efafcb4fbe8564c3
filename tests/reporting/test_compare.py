"""The command that compares run folders."""

import subprocess
import sys

import pytest
from PIL import Image

from corrlight.reporting.compare import main
from tests.reporting.folders import make_run


@pytest.fixture
def folders(tmp_path):
    return [
        make_run(tmp_path, "base", "0", metrics={"AP": 0.3, "beta_cls": None}, dots=30),
        make_run(tmp_path, "loss", "0", config={"corr": 1}, metrics={"AP": 0.4}, dots=40),
    ]


def test_prints_and_writes_table_and_figure(folders, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*map(str, folders), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "difference" in printed.out
    assert "+10.0" in printed.out
    assert printed.err == ""
    assert sorted(p.name for p in out.iterdir()) == [
        "comparison.csv",
        "comparison.md",
        "score_iou.png",
    ]
    assert "| base | 30.0 | - |" in (out / "comparison.md").read_text()
    with Image.open(out / "score_iou.png") as image:
        assert image.width > image.height  # two panels


def test_missing_and_broken_dots_are_one_line_each(folders, tmp_path, capsys):
    (folders[0] / "score_iou.npz").unlink()
    (folders[1] / "score_iou.npz").write_bytes(b"PK\x03\x04 cut off")
    assert main([*map(str, folders), "--out", str(tmp_path / "out")]) == 0
    notes = capsys.readouterr().err.strip().splitlines()
    assert len(notes) == 2
    assert "is missing; the figure leaves base out." in notes[0]
    assert "cannot be read" in notes[1]
    assert not (tmp_path / "out" / "score_iou.png").exists()


def test_unfinished_run_is_a_one_line_error(folders, capsys):
    (folders[1] / "metrics.json").unlink()
    assert main([str(folder) for folder in folders]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: Expected a finished run, but ")
    assert error.count("\n") == 1


def test_runs_as_a_module_without_warnings(folders):
    command = [sys.executable, "-W", "error", "-m", "corrlight.reporting.compare", str(folders[0])]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (out.returncode, out.stderr) == (0, "")
    assert "30.0" in out.stdout
