"""Files of the kinds that other tools write give pycocotools' numbers (``CORRLIGHT_CASES``)."""

import json

import pytest

from corrlight.analysis.command import main
from corrlight.data import load_annotations
from tests.helpers.paths import cases_root

CASES = sorted(folder for folder in cases_root().iterdir() if folder.is_dir())


def test_there_are_cases():
    assert CASES


@pytest.mark.parametrize("case", CASES, ids=lambda folder: folder.name)
def test_numbers(case, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("corrlight.analysis.output.draw_figures", lambda *a: None)
    files = ["--gt", str(case / "gt.json"), "--dt", str(case / "dt.json")]
    assert main([*files, "--out", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    expected = json.loads((case / "expected.json").read_text())
    expected.pop("note")
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-11), name
    measured = {n for n, v in found.items() if n.startswith("mask_AP") and v is not None}
    assert bool(measured) == any(name.startswith("mask_") for name in expected)


@pytest.mark.parametrize("case", CASES, ids=lambda folder: folder.name)
def test_training_reads_the_annotations_too(case):
    annotations = load_annotations(case / "gt.json")
    content = json.loads((case / "gt.json").read_text())
    assert len(annotations.boxes) == len(content["annotations"])
    assert annotations.crowd.sum() == sum(bool(a["iscrowd"]) for a in content["annotations"])
    assert annotations.usable.any()


def test_what_is_left_out_is_said(capsys):
    said = {}
    for case in CASES:
        assert main(["--gt", str(case / "gt.json"), "--dt", str(case / "dt.json")]) == 0
        captured = capsys.readouterr()
        said[case.name] = captured.err
        expected = json.loads((case / "expected.json").read_text())
        content = json.loads((case / "dt.json").read_text())
        with_key = any("segmentation" in detection for detection in content)
        if with_key and not any(name.startswith("mask_") for name in expected):
            assert "boxes are measured" in captured.err, case.name
    assert any("--max-detections 300" in words for words in said.values())
