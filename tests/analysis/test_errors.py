"""``corrlight analyze --errors``."""

import csv
import json
import re

import numpy as np
import pytest

from corrlight.analysis.command import main
from corrlight.analysis.figures import CAPTIONS, ERROR_CAPTIONS
from corrlight.metrics import Evaluation
from corrlight.metrics.errors.confusion import confusion_matrix
from tests.analysis.undrawn import undrawn
from tests.metrics.errors.cases import case
from tests.metrics.errors.test_costs import THEIRS, TIDECV


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    """Two results files with boxes and masks, and what the command writes of them."""
    folder = tmp_path_factory.mktemp("errors")
    truth, results = case("masks_ties")
    for name, content in (("gt", truth), ("a", results), ("b", results[::2])):
        (folder / f"{name}.json").write_text(json.dumps(content))
    files = [str(folder / f"{name}.json") for name in ("gt", "a", "b")]
    out = folder / "out"
    options = ["--errors", "--score", "0.4", "--iou", "0.6", "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("corrlight.analysis.output.save_figure", undrawn)
        assert main(["--gt", files[0], "--dt", *files[1:], *options]) == 0
    return {"files": files, "out": out, "truth": truth, "results": results}


def test_keys_are_tidecvs_numbers(analysed):
    content = json.loads((analysed["out"] / "metrics.json").read_text())
    found, theirs = content["files"]["a"], TIDECV["masks_ties"]
    assert 100 * found["mask_AP_tide"] == pytest.approx(theirs["ap"], abs=1e-9)
    for short, ours in THEIRS.items():
        cost = 100 * found[f"mask_dAP_{ours}"]
        assert cost == pytest.approx(theirs["costs"][short], abs=1e-9), ours
    assert found["dAP_missed"] is not None
    difference = content["differences"]["b - a"]
    assert difference["dAP_missed"] == content["files"]["b"]["dAP_missed"] - found["dAP_missed"]


def test_the_matrix_as_json_and_as_a_table(analysed):
    evaluation = Evaluation.from_coco(analysed["truth"], analysed["results"], masks=True)
    counts = confusion_matrix(evaluation, 0.4, 0.6).counts
    found = json.loads((analysed["out"] / "errors.json").read_text())["a"]["masks"]
    assert found["confusion_matrix"]["counts"] == counts.tolist()
    assert found["confusion_matrix"]["columns"][-1] == "missed"
    with (analysed["out"] / "confusion_matrix.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if (r["file"], r["measured"]) == ("a", "masks")]
    assert [r["object"] for r in rows] == found["confusion_matrix"]["rows"]
    columns = found["confusion_matrix"]["columns"]
    assert [[int(r[c]) for c in columns] for r in rows] == counts.tolist()


def test_curves_have_the_area_of_ap(analysed):
    metrics = json.loads((analysed["out"] / "metrics.json").read_text())["files"]["b"]
    found = json.loads((analysed["out"] / "errors.json").read_text())["b"]["boxes"]["pr_curves"]
    for iou, name in (("0.5", "AP50"), ("0.75", "AP75"), ("mean", "AP")):
        assert np.mean(found["precision"][iou]["mean"]) == pytest.approx(metrics[name])
        assert len(found["precision"][iou]["by_class"]) == len(found["classes"])


def test_figures_are_in_the_folder_and_in_the_report(analysed):
    names = {p + n for p in ("", "mask_") for n in (*CAPTIONS, *ERROR_CAPTIONS)}
    names |= {"confusion_matrix_2", "mask_confusion_matrix_2"}
    figures = {p.stem for p in (analysed["out"] / "figures").iterdir()}
    page = (analysed["out"] / "report.html").read_text()
    assert figures == set(re.findall('<figure id="([^"]+)"', page)) == names
    assert "dAP_localisation" in page
    assert "a: errors: classification" in page


def test_the_terminal_says_costs_counts_and_confusions(analysed, capsys):
    assert main(["--gt", analysed["files"][0], "--dt", analysed["files"][1], "--errors"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"mask_dAP_localisation\W+8\.03\b", shown)
    assert "a: masks: errors: classification 30, localisation 55, both 54" in shown
    assert re.search(r"a: most confused \(score from 0.25, IoU from 0.5\): class \d+ as", shown)


def test_nothing_of_it_without_the_option(analysed, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("corrlight.analysis.output.draw_figures", lambda *a: None)
    out = tmp_path / "out"
    assert (
        main(["--gt", analysed["files"][0], "--dt", *analysed["files"][1:], "--out", str(out)]) == 0
    )
    assert "dAP" not in capsys.readouterr().out
    assert {p.name for p in out.iterdir()} == {
        *("metrics.json", "per_class.csv", "report.html", "figures"),
    }
    assert "dAP" not in (out / "metrics.json").read_text() + (out / "per_class.csv").read_text()


def test_classes_without_objects_are_said(tmp_path, capsys):
    for name, content in zip(("gt", "dt"), case("odd"), strict=True):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    files = [str(tmp_path / f"{name}.json") for name in ("gt", "dt")]
    assert main(["--gt", files[0], "--dt", files[1], "--errors"]) == 0
    assert "2 classes have detections but no objects" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--score", "0.3"], "Expected --errors with --score"),
        (["--errors", "--iou", "0"], "Expected --iou to be in (0, 1], got 0"),
        (["--errors", "--iou", "nan"], "Expected a number, but got 'nan'"),
    ],
)
def test_wrong_options_are_one_line(options, words, capsys):
    assert main(["--gt", "g", "--dt", "d", *options]) == 2
    assert words in capsys.readouterr().err


def test_no_detections_and_no_objects(tmp_path, monkeypatch):
    monkeypatch.setattr("corrlight.analysis.output.save_figure", undrawn)
    truth, results = case("plain")
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    (tmp_path / "none.json").write_text("[]")
    (tmp_path / "empty.json").write_text(json.dumps({**truth, "annotations": []}))
    (tmp_path / "dt.json").write_text(json.dumps(results))
    for gt, dt in (("gt", "none"), ("empty", "dt")):
        out = tmp_path / f"out_{gt}"
        options = ["--errors", "--out", str(out)]
        assert main([
            "--gt", str(tmp_path / f"{gt}.json"), "--dt", str(tmp_path / f"{dt}.json"), *options
        ]) == 0  # fmt: skip
        assert (out / "figures" / "confusion_matrix.png").is_file()
