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


def test_runs_on_other_data_or_measures_are_named(tmp_path, capsys):
    def run(name, root, size, metric, **data):
        config = {"data": {"root": root, "size": size, **data}, "metric": {"ap": metric}}
        return str(make_run(tmp_path, name, "0", config=config, metrics={"AP": 0.3}, dots=5))

    ap, other = {"max_detections": 100}, {"max_detections": 300}
    same = [run("a", "/x", 320, ap, seed=0, batch_size=8, num_workers=1)]
    same.append(run("b", "/x", 320, ap, seed=1, batch_size=4, num_workers=0))
    assert main(same) == 0
    assert capsys.readouterr().err == ""
    assert main([same[0], run("c", "/y", 320, ap), run("d", "/x", 640, other)]) == 0
    notes = capsys.readouterr().err.splitlines()
    assert notes == [
        "note: data.root differs (/x, /y): these are numbers of other data.",
        "note: data.size differs (320, 640): these are numbers of other data.",
        "note: metric.ap.max_detections differs (100, 300): these are numbers of other measures.",
    ]
