"""YOLO: lines of every kind, class names, places of pictures, and a round trip."""

import numpy as np
import pytest

from corrlight.datasets.importers.yolo import read_yolo
from corrlight.datasets.records import Ledger, ReadOptions
from tests.datasets.pictures_on_disk import OPTIONS, boxes, picture, run, write


def shapes(content, name):
    found = next(p for p in content.pictures if p.path.name == name)
    return [(a.label, a.shape.box, a.shape.segmentation) for a in found.annotations]


def test_boxes_and_polygons_in_one_file(tmp_path):
    picture(tmp_path / "images" / "train" / "a.jpg", 40, 30)
    lines = "2 0.5 0.5 0.25 0.2\n\n0 0.1 0.1 0.5 0.1 0.5 0.9\n 0.0 .1 .1 .3 .1 .3 .2 .1 .2\n"
    write(tmp_path / "labels" / "train" / "a.txt", lines)
    write(tmp_path / "data.yaml", "train: images/train\nnames: {2: no, 0: '007'}\n")
    content = read_yolo(tmp_path, Ledger(), OPTIONS)
    # Names by key, as written: "no" is not False, and "007" not 7.
    assert content.classes == ["007", "no"]
    assert shapes(content, "a.jpg") == [
        ("no", (15, 12, 10, 6), None),
        ("007", (4, 3, 16, 24), [[4, 3, 20, 3, 20, 27]]),
        ("007", (4, 3, 8, 3), [[4, 3, 12, 3, 12, 6, 4, 6]]),
    ]
    assert content.pictures[0].annotations[1].shape.area == 16 * 24 / 2


def test_shares_are_of_the_picture_as_it_is_looked_at(tmp_path):
    picture(tmp_path / "a.jpg", 40, 30, orientation=6)
    write(tmp_path / "a.txt", "0 0.5 0.5 0.5 0.5")
    content = read_yolo(tmp_path, Ledger(), ReadOptions(classes=("x",)))
    assert content.pictures[0].size == (40, 30)
    assert shapes(content, "a.jpg") == [("x", (7.5, 10, 15, 20), None)]


def test_splits_of_the_yaml(tmp_path):
    for place in ("train/images/deep/a.JPG", "valid/images/b.png", "more/images/c.jpg"):
        picture(tmp_path / place)
        label = place.replace("images", "labels").rpartition(".")[0]
        write(tmp_path / f"{label}.txt", "1 0.5 0.5 0.5 0.5")
    picture(tmp_path / "train" / "images" / "empty.jpg")
    write(tmp_path / "list.txt", "./more/images/c.jpg\n")
    text = """path: /somewhere/else
train: [../train/images, list.txt]
val: ../valid/images
test:
nc: 2
names: [cat, dog]
"""
    write(tmp_path / "data.yaml", text)
    assert run("import", "yolo", tmp_path / "data.yaml", "--out", tmp_path / "out") == 0
    dog = [("dog", 10, 7.5, 20, 15)]
    assert boxes(tmp_path / "out") == {
        "more/images/c.jpg": dog,
        "train/images/deep/a.JPG": dog,
        "train/images/empty.jpg": [],
    }
    assert boxes(tmp_path / "out", "val") == {"b.png": dog}
    assert not (tmp_path / "out" / "annotations" / "test.json").exists()


def test_a_folder_with_names_alone(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    write(tmp_path / "labels" / "a.txt", "0 0.5 0.5 0.5 0.5\n")
    write(tmp_path / "labels" / "stray.txt", "0 0.5 0.5 0.5 0.5\n")
    with pytest.raises(ValueError, match=r"Expected class names .* --classes"):
        read_yolo(tmp_path, Ledger(), OPTIONS)
    write(tmp_path / "classes.txt", "cat\ndog\n")
    ledger = Ledger()
    content = read_yolo(tmp_path, ledger, OPTIONS)
    assert content.classes == ["cat", "dog"]
    assert [t.count for t in ledger.left_out.values()] == [1]


def test_key_points_follow_the_box(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    write(tmp_path / "labels" / "a.txt", "0 .5 .5 .5 .5 .1 .1 2 .2 .2 0\n")
    write(tmp_path / "data.yaml", "train: images\nkpt_shape: [2, 3]\nnames: [x]\n")
    ledger = Ledger()
    content = read_yolo(tmp_path, ledger, OPTIONS)
    assert shapes(content, "a.jpg") == [("x", (10, 7.5, 20, 15), None)]
    assert ledger.left_out["key points of an object"].count == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("3 .5 .5 .1 .1", "class 3 has no name; there are 0 to 1"),
        ("0 .5 .5 .1 .1 .9", "6 numbers are neither a box"),
        ("0 .5 .5 .1", "4 numbers are neither a box"),
        ("0 .5 .5 .1 x", "a value is 'x', not a number"),
        ("0 20 15 10 10", "20 is no share of the picture's size"),
    ],
)
def test_broken_lines(tmp_path, line, said):
    picture(tmp_path / "a.jpg")
    write(tmp_path / "a.txt", f"0 .5 .5 .1 .1\n{line}\n")
    ledger = Ledger()
    content = read_yolo(tmp_path, ledger, ReadOptions(classes=("x", "y")))
    assert len(content.pictures[0].annotations) == 1
    (problem,) = ledger.problems
    assert problem.startswith(f"{tmp_path / 'a.txt'}: line 2: ")
    assert said in problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("names: [a, a]", "that differ"),
        ("names: 3", "a list or mapping"),
        ("names: {x: a}", "class numbers"),
        ("names: [a]\ntrain: nowhere", "nowhere"),
        ("names: [", "to be a YAML file"),
        ("names: [a]\ntrain: data.yaml", "a folder or a list"),
    ],
)
def test_broken_yaml(tmp_path, text, said):
    picture(tmp_path / "a.jpg")
    write(tmp_path / "data.yaml", text)
    with pytest.raises(ValueError, match=said):
        read_yolo(tmp_path / "data.yaml", Ledger(), OPTIONS)


def test_written_boxes_come_back(tmp_path):
    draw = np.random.default_rng(1)
    expected = {}
    for k in range(4):
        picture(tmp_path / "in" / f"{k}.png", 101, 77)
        pixels = np.concatenate([draw.uniform(0, 50, (5, 2)), draw.uniform(1, 25, (5, 2))], 1)
        lines = [
            f"0 {(x + w / 2) / 101:.12f} {(y + h / 2) / 77:.12f} {w / 101:.12f} {h / 77:.12f}"
            for x, y, w, h in pixels
        ]
        write(tmp_path / "in" / f"{k}.txt", "\n".join(lines))
        expected[f"{k}.png"] = pixels
    run("import", "yolo", tmp_path / "in", "--classes", "o", "--out", tmp_path / "out")
    for name, found in boxes(tmp_path / "out").items():
        np.testing.assert_allclose([b[1:] for b in found], expected[name], atol=1e-5)
