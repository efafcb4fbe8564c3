"""docs/examples/blood_cells.py on a few drawn pictures: a real Trainer with loss and measures."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from corrlight.data.drawn.scene import draw_scene

FILE = Path(__file__).parents[2] / "docs" / "examples" / "blood_cells.py"
NAMES = [f"kind {k}" for k in range(8)]

pytestmark = [pytest.mark.hf, pytest.mark.slow]


def write_folder(root):
    """Write a folder as ``corrlight data import`` does, of 4 and 3 pictures."""
    rng = np.random.default_rng(0)
    (root / "annotations").mkdir()
    for split, count in (("train", 4), ("val", 3)):
        (root / split).mkdir()
        images, annotations = [], []
        for k in range(count):
            scene = draw_scene(rng, 96, 128)
            Image.fromarray(scene.image).save(root / split / f"{k}.jpg")
            images.append({"id": k + 1, "file_name": f"{k}.jpg", "width": 128, "height": 96})
            for item in scene.objects:
                rows, columns = (np.flatnonzero(item.mask.any(axis)) for axis in (1, 0))
                x, y = int(columns[0]), int(rows[0])
                w, h = int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y
                annotations.append(
                    {
                        "id": len(annotations) + 1, "image_id": k + 1, "iscrowd": 0,
                        "category_id": item.label + 1, "bbox": [x, y, w, h], "area": w * h,
                    }
                )  # fmt: skip
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": k + 1, "name": name} for k, name in enumerate(NAMES)],
        }
        (root / "annotations" / f"{split}.json").write_text(json.dumps(content))


def test_the_example_trains_and_measures(tmp_path, monkeypatch, capsys):
    root, out = tmp_path / "cells", tmp_path / "out"
    root.mkdir()
    write_folder(root)
    spec = importlib.util.spec_from_file_location("blood_cells", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    options = ["--epochs", "2", "--size", "96", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["blood_cells.py", str(root), *options])
    module.main()
    printed = capsys.readouterr().out.splitlines()[-6:]
    assert printed[0].split() == ["without", "with"]
    rows = {name: values for name, *values in map(str.split, printed[1:])}
    assert set(rows) == set(module.SHOWN)
    assert all(values[0] != "-" for name, values in rows.items() if name != "beta_cls")
    # A results file at the end of each epoch: 4 pictures are one step.
    names = {f"{name}/results_{k}.json" for name in ("without", "with") for k in (1, 2)}
    files = {str(f.relative_to(out)): json.loads(f.read_text()) for f in out.rglob("results_*")}
    assert set(files) == names
    assert {d["image_id"] for d in files["with/results_2.json"]} == {1, 2, 3}
    # Trained alike but for the loss.
    assert files["without/results_2.json"] != files["with/results_2.json"]
