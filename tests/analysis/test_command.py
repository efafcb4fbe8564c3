import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from corrlight.analysis.command import main
from corrlight.analysis.figures import CAPTIONS
from tests.analysis.undrawn import undrawn
from tests.metrics.coco_oracle import coco_numbers, random_dataset, with_masks


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A ground truth, two results files with boxes and masks, and their analysis."""
    folder = tmp_path_factory.mktemp("analysis")
    rng = np.random.default_rng(4)
    gt, boxes = random_dataset(rng, 25, 4, ties=False, crowds=True)
    gt, masks = with_masks(gt, boxes, rng)
    first = [{**m, "bbox": b["bbox"]} for m, b in zip(masks, boxes, strict=True)]
    second = [{**d, "score": d["score"] ** 3} for d in first[::2]]
    names = {"gt": gt, "a": first, "b <i>": second}
    for name, content in names.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    files = [str(folder / f"{name}.json") for name in names]
    out = folder / "deep" / "out"
    arguments = ["--gt", files[0], "--dt", *files[1:], "--bootstrap", "20", "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("corrlight.analysis.output.save_figure", undrawn)
        assert main(arguments) == 0
    return {"gt": gt, "a": first, "b": second, "files": files, "out": out}


def test_numbers_are_those_of_pycocotools(case):
    content = json.loads((case["out"] / "metrics.json").read_text())
    for name, dt in (("a", case["a"]), ("b <i>", case["b"])):
        found = content["files"][name]
        for key, value in coco_numbers(case["gt"], dt).items():
            assert found[key] == pytest.approx(value, abs=1e-12), key
        for key, value in coco_numbers(case["gt"], dt, "segm").items():
            assert found[f"mask_{key}"] == pytest.approx(value, abs=1e-12), key
        assert found["num_classes_beta_cls"] <= 4
    assert content["differences"]["b <i> - a"]["AP"] == pytest.approx(
        content["files"]["b <i>"]["AP"] - content["files"]["a"]["AP"]
    )


def test_intervals_hold_the_values_and_differences_are_paired(case):
    content = json.loads((case["out"] / "metrics.json").read_text())
    first, second = content["files"].values()
    paired = content["differences"]["b <i> - a"]["intervals"]
    for name in ("AP", "oLRP", "mask_AP", "mask_beta_cls"):
        low, high = first["intervals"][name]
        assert low < high
        assert low - 0.1 <= first[name] <= high + 0.1
        both = [ends["intervals"][name] for ends in (first, second)]
        assert paired[name][1] - paired[name][0] < sum(b[1] - b[0] for b in both)


def test_one_row_a_class_and_file(case):
    with (case["out"] / "per_class.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["a"] * 4 + ["b <i>"] * 4
    assert {"category_id", "name", "AP", "oLRP", "beta_cls", "mask_AP"} <= set(rows[0])
    content = json.loads((case["out"] / "metrics.json").read_text())
    mean = np.mean([float(row["AP"]) for row in rows[:4]])
    assert content["files"]["a"]["AP"] == pytest.approx(mean)


def test_every_figure_in_both_formats_and_in_the_report(case):
    names = {p + n for p in ("", "mask_") for n in CAPTIONS}
    figures = case["out"] / "figures"
    assert {p.name for p in figures.iterdir()} == {
        f"{n}.{s}" for n in names for s in ("png", "svg")
    }
    page = (case["out"] / "report.html").read_text()
    assert set(re.findall('<figure id="([^"]+)"', page)) == names
    # Self-contained: every source and link is part of the page, and names are text.
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]+)"', page))
    assert "href" not in page
    assert "b &lt;i&gt;" in page
    assert "<i>" not in page


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes_and_replaces_an_earlier_analysis(case, tmp_path):
    out = tmp_path / "deep" / "out"
    arguments = ["--gt", case["files"][0], "--dt", *case["files"][1:], "--bootstrap", "20"]

    def content():
        assert main([*arguments, "--out", str(out)]) == 0
        return {p.name: p.read_bytes() for p in out.rglob("*") if p.is_file()}

    before = content()
    (out / "figures" / "old.png").write_bytes(b"")
    assert content() == before
    assert [p.name for p in out.parent.iterdir()] == ["out"]


def test_one_file_has_plain_keys(case, tmp_path, capsys, monkeypatch):
    drawn = []
    monkeypatch.setattr("corrlight.analysis.output.draw_figures", lambda *a: drawn.append(a))
    run = tmp_path / "run"
    run.mkdir()
    (run / "detections.json").write_text(json.dumps(case["a"]))
    options = [
        "--gt",
        case["files"][0],
        "--dt",
        str(run),
        "--no-masks",
        "--out",
        str(tmp_path / "o"),
    ]
    assert main(options) == 0
    content = json.loads((tmp_path / "o" / "metrics.json").read_text())
    assert content["AP"] == pytest.approx(coco_numbers(case["gt"], case["a"])["AP"], abs=1e-12)
    assert "intervals" not in content
    assert not any(key.startswith(("mask_", "beta_img")) for key in content)
    assert len(drawn) == 1
    table = capsys.readouterr().out
    assert "run" in table.splitlines()[1]
    assert f"{100 * content['beta_cls']:.2f}" in table


def test_a_failure_while_drawing_leaves_nothing(case, tmp_path, capsys, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("corrlight.analysis.output.save_figure", full)
    out = tmp_path / "out"
    assert main(["--gt", case["files"][0], "--dt", case["files"][1], "--out", str(out)]) == 2
    assert "No space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_names_of_files_are_short_and_differ():
    from corrlight.analysis.command import _names

    assert _names([Path("x/a.json"), Path("y/b.json")]) == ["a", "b"]
    assert _names([Path("/x/r/d.json"), Path("/y/r/d.json")]) == ["x/r/d", "y/r/d"]
    assert _names([Path("/x/1.5"), Path("/x/1.5")])[1].endswith("1.5 (2)")


def test_starts_without_torch():
    code = (
        "import sys\n"
        "from corrlight.cli import main\n"
        "assert main(['analyze', '--help']) == 0\n"
        "heavy = {'torch', 'lightning', 'matplotlib', 'numpy', 'scipy'}\n"
        "assert not heavy & set(sys.modules)\n"
        "import corrlight.analysis.results_file\n"
        "assert not {'torch', 'lightning', 'matplotlib', 'scipy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--bootstrap" in done.stdout


def test_annotations_as_fractions_are_measured_and_named(tmp_path, capsys):
    """pycocotools' numbers are kept; what they are of is said."""
    images = [{"id": 1, "width": 100, "height": 80}]
    boxes = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.3, 0.6], [0.2, 0.2, 0.7, 0.7]]
    objects = [
        {"id": k, "image_id": 1, "category_id": 1, "bbox": box, "area": 9, "iscrowd": 0}
        for k, box in enumerate(boxes)
    ]
    gt = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "cat"}]}
    dt = [{"image_id": 1, "category_id": 1, "bbox": [10, 16, 30, 32], "score": 0.9}]
    for name, content in (("gt", gt), ("dt", dt)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    assert main(["--gt", str(tmp_path / "gt.json"), "--dt", str(tmp_path / "dt.json")]) == 0
    captured = capsys.readouterr()
    assert "they look like fractions of the picture's width and height" in captured.err
    assert captured.err.count("\n") == 1
