"""LabelMe: every shape with numbers worked out by hand."""

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from corrlight.datasets.importers.labelme import read_labelme
from corrlight.datasets.records import Ledger
from tests.datasets.pictures_on_disk import OPTIONS, boxes, picture, run, write


def shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **more}


def document(shapes, path="a.jpg", size=(30, 40), **more):
    return {"imagePath": path, "imageHeight": size[0], "imageWidth": size[1], "shapes": shapes,
            "imageData": None, **more}  # fmt: skip


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def read(folder):
    ledger = Ledger()
    return read_labelme(folder, ledger, OPTIONS), ledger


def test_every_shape(tmp_path):
    picture(tmp_path / "a.jpg")
    mask = png([[0, 255, 255], [0, 255, 0]])
    shapes = [
        shape("p", [[1, 2], [11, 2], [1, 12.5]]),
        shape("r", [[20, 18], [10, 8.5]], "rectangle"),
        shape("c", [[20, 15], [23, 19]], "circle"),
        shape("m", [[4, 5], [6, 6]], "mask", mask=mask),
        shape("x", [[3, 3]], "point"),
        {"label": "old", "points": [[0, 0], [2, 0], [2, 2], [0, 2]]},
    ]
    write(tmp_path / "a.json", document(shapes, r"..\somewhere\a.jpg"))
    content, ledger = read(tmp_path)
    (found,) = content.pictures
    assert [(a.label, a.shape.box, a.shape.area) for a in found.annotations] == [
        ("p", (1, 2, 10, 10.5), 52.5),
        ("r", (10, 8.5, 10, 9.5), 95),
        ("c", (15, 10, 10, 10), round(math.pi * 25, 6)),
        ("m", (5, 5, 2, 2), 3),
        ("old", (0, 0, 2, 2), 4),
    ]
    assert [a.shape.segmentation is None for a in found.annotations] == [
        False, True, False, False, False,
    ]  # fmt: skip
    assert ledger.left_out["shapes without a box (point)"].count == 1


def test_shapes_of_one_group_are_one_object(tmp_path):
    picture(tmp_path / "a.jpg")
    square = [[0, 0], [4, 0], [4, 4], [0, 4]]
    shapes = [
        shape("p", square, group_id=1),
        shape("p", [[x + 10, y] for x, y in square], group_id=1),
        shape("q", square, group_id=1),
        shape("p", square),
        shape("p", square),
    ]
    write(tmp_path / "a.json", document(shapes))
    found = read(tmp_path)[0].pictures[0].annotations
    assert [a.label for a in found] == ["p", "q", "p", "p"]
    assert found[0].shape.box == (0, 0, 14, 4)
    assert found[0].shape.area == 32
    assert len(found[0].shape.segmentation) == 2


def test_picture_inside_of_the_file(tmp_path):
    data = png(np.zeros((30, 40, 3)))
    folder = tmp_path / "in"
    square = [[0, 0], [4, 4]]
    write(folder / "a.json", document([shape("p", square, "rectangle")], "no.png", imageData=data))
    picture(folder / "unlabelled.jpg")
    write(folder / "settings.json", {"theme": "dark"})
    assert run("import", "labelme", folder, "--out", tmp_path / "out") == 0
    assert boxes(tmp_path / "out") == {"a.png": [("p", 0, 0, 4, 4)], "unlabelled.jpg": []}
    with Image.open(tmp_path / "out" / "train" / "a.png") as image:
        assert image.size == (40, 30)
    again = ["labelme", folder, "--labelled-only", "--out", tmp_path / "two"]
    assert run("import", *again) == 0
    assert list(boxes(tmp_path / "two")) == ["a.png"]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (shape("p", [[0, 0], [1, 1]]), "a polygon of 2 points"),
        (shape("p", [[0, 0], [1]]), "points is"),
        (shape("p", [[0, 0]], "rectangle"), "a rectangle of 1 points"),
        (shape("p", [[0, 0], [1, 1]], "cube"), "shape_type is 'cube'"),
        (shape("p", [[0, 0], [1, 1]], "mask", mask="AAAA"), "mask is no picture"),
        ({"points": []}, "label is missing"),
        (shape(" ", [[0, 0], [1, 1]], "rectangle"), "label is empty"),
        (3, "label is missing"),
    ],
)
def test_broken_shapes(tmp_path, item, said):
    picture(tmp_path / "a.jpg")
    write(tmp_path / "a.json", document([item]))
    (problem,) = read(tmp_path)[1].problems
    assert problem.startswith(f"{tmp_path / 'a.json'}: shape 1: ")
    assert said in problem


def test_a_file_without_its_picture_is_named(tmp_path):
    write(tmp_path / "a.json", document([]))
    write(tmp_path / "b.json", "{")
    assert len(read(tmp_path)[1].problems) == 2
