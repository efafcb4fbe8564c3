import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from corrlight.predict.output import Wanted, open_writer
from corrlight.predict.prediction import Prediction
from corrlight.predict.sources import Source
from corrlight.reporting.labelled import class_color

CLASSES = ("a/b", "..")


def prediction(size=(40, 60)):
    return Prediction(
        boxes=torch.tensor([[10.0, 5, 30, 25], [-3.0, 0, 2.5, 39], [1.0, 1, 1, 1]]),
        scores=torch.tensor([0.9, 0.6, 0.2]),
        labels=torch.tensor([0, 1, 1]),
        class_names=("a/b", "..", ".."),
        category_ids=(4, 9, 9),
        size=size,
    )


def write(folder, wanted, names=("x.jpg",)):
    from pathlib import Path

    pixels = np.full((40, 60, 3), 128, np.uint8)
    with open_writer(folder, wanted, CLASSES) as writer:
        writer.begin({"corrlight": "1"}, [{"id": 4, "name": "a/b"}, {"id": 9, "name": ".."}])
        for k, name in enumerate(names, 1):
            writer.add(k, Source(Path("in", name), name), pixels, prediction())
        writer.end([{"file_name": "y.jpg", "reason": "torn"}])
    return json.loads((folder / "images.json").read_text())


def test_results_refer_to_the_images(tmp_path):
    images = write(tmp_path, Wanted(), ("x.jpg", "sub/x.tif"))
    assert [i["file_name"] for i in images["images"]] == ["x.jpg", "sub/x.tif"]
    assert [(i["width"], i["height"]) for i in images["images"]] == [(60, 40)] * 2
    assert images["skipped"] == [{"file_name": "y.jpg", "reason": "torn"}]
    detections = json.loads((tmp_path / "predictions.json").read_text())
    assert [d["image_id"] for d in detections] == [1, 1, 1, 2, 2, 2]
    assert [d["category_id"] for d in detections[:3]] == [4, 9, 9]
    for image in images["images"]:
        with Image.open(tmp_path / image["picture"]) as drawn:
            assert drawn.size == (360, 240)  # six times: a small picture is enlarged
    assert images["images"][1]["picture"] == "pictures/sub/x.tif.png"


def test_no_picture_at_all_is_an_empty_list(tmp_path):
    images = write(tmp_path, Wanted(), ())
    assert images["images"] == []
    assert json.loads((tmp_path / "predictions.json").read_text()) == []


def test_thresholds(tmp_path):
    write(tmp_path, Wanted(file_threshold=0.5, csv=True, pictures=False))
    assert len(json.loads((tmp_path / "predictions.json").read_text())) == 2
    assert not (tmp_path / "pictures").exists()
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["class"], r["score"][:3], r["x2"]) for r in rows] == [
        ("a/b", "0.8", "30.0"),
        ("..", "0.6", "2.5"),
    ]


def test_crops_are_the_pixels_of_the_boxes_in_folders_of_their_classes(tmp_path):
    write(tmp_path, Wanted(crops=True, pictures=False, picture_threshold=0.1))
    crops = sorted((tmp_path / "crops").rglob("*.png"))
    sizes = {}
    for crop in crops:
        with Image.open(crop) as image:
            sizes[crop.relative_to(tmp_path / "crops").as_posix()] = image.size
    assert sizes == {
        "_/000001_001_x.png": (3, 39),
        "_/000001_002_x.png": (1, 1),
        "a_b/000001_000_x.png": (20, 20),
    }


def test_names_that_would_be_equal_stay_apart(tmp_path):
    images = write(tmp_path, Wanted(), ("x.tif.png", "x.tif"))
    drawn = [i["picture"] for i in images["images"]]
    assert drawn == ["pictures/x.tif.png", "pictures/_x.tif.png"]
    assert all((tmp_path / name).is_file() for name in drawn)


def test_a_full_disk_is_an_error(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, Wanted())


def test_masks_are_painted_in_the_colour_of_the_class(tmp_path):
    from corrlight.reporting.labelled import draw_labelled

    masks = np.zeros((1, 400, 400), bool)
    masks[0, 100:300, 100:300] = True
    picture = draw_labelled(
        np.full((400, 400, 3), 100, np.uint8),
        np.array([[100, 100, 300, 300]]), np.array([1]), np.array([0.5]), CLASSES, masks,
    )  # fmt: skip
    expected = np.round(0.55 * 100 + 0.45 * np.array(class_color(1)))
    assert np.asarray(picture)[200, 200].tolist() == expected.tolist()
    assert np.asarray(picture)[350, 350].tolist() == [100, 100, 100]
