"""Broken VOC and YOLO folders: `import` names each, or counts what it did about it."""

import pytest

from tests.datasets.checking.small_set import run
from tests.datasets.pictures_on_disk import boxes, picture, write

OBJECT = (
    "<object><name>cat</name><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>12</xmax><ymax>20</ymax>"
    "</bndbox></object>"
)
SIZE = "<size><width>40</width><height>30</height></size>"


def voc(root, size=SIZE, objects=OBJECT, name="a.jpg", tail="</annotation>"):
    picture(root / "a.jpg")
    text = f"<annotation><filename>{name}</filename>{size}{objects}{tail}"
    write(root / "a.xml", text)
    return root


def yolo(root, line, names="names: {0: cat, 1: dog}"):
    picture(root / "images" / "train" / "a.jpg")
    write(root / "labels" / "train" / "a.txt", f"{line}\n")
    write(root / "data.yaml", f"train: images/train\n{names}\n")
    return root


VOC = {
    "no_name": ({"objects": OBJECT.replace("<name>cat</name>", "")}, "name"),
    "no_box": ({"objects": "<object><name>cat</name></object>"}, "bndbox"),
    "corner_is_text": ({"objects": OBJECT.replace(">3<", ">x<")}, "xmin"),
    "corners_exchanged": ({"objects": OBJECT.replace(">12<", ">1<")}, "without width or height"),
    "outside": (
        {"objects": OBJECT.replace(">3<", ">300<").replace(">12<", ">330<")},
        "outside of their picture",
    ),
    "two_boxes": (
        {"objects": OBJECT.replace("</object>", "<bndbox/></object>")},
        "1 second boxes of an object",
    ),
    "other_size": ({"size": SIZE.replace("40", "50")}, "annotated as 50x30"),
    "size_of_0": ({"size": SIZE.replace("40", "0").replace("30", "0")}, "sizes of 0"),
    "cut_off": ({"tail": ""}, "a.xml"),
    "no_picture": ({"name": "b.jpg"}, "1 pictures"),
}
YOLO = {
    "four_numbers": ("0 0.5 0.5 0.2", "a.txt"),
    "six_numbers": ("0 0.5 0.5 0.2 0.2 0.9", "a.txt"),
    "class_beyond_names": ("7 0.5 0.5 0.2 0.2", "7"),
    "class_is_text": ("cat 0.5 0.5 0.2 0.2", "cat"),
    "pixels": ("0 20 15 8 6", "a.txt"),
    "not_finite": ("0 nan 0.5 0.2 0.2", "nan"),
    "no_width": ("0 0.5 0.5 0 0.2", "without width or height"),
}


@pytest.mark.parametrize(("change", "said"), VOC.values(), ids=VOC)
def test_voc(tmp_path, change, said, capsys):
    run("import", "voc", voc(tmp_path / "in", **change), "--out", tmp_path / "out")
    captured = capsys.readouterr()
    assert said in captured.out + captured.err


def test_voc_without_size_has_that_of_the_picture(tmp_path):
    assert run("import", "voc", voc(tmp_path / "in", size=""), "--out", tmp_path / "out") == 0
    assert boxes(tmp_path / "out") == {"a.jpg": [("cat", 2, 3, 10, 17)]}


@pytest.mark.parametrize(("line", "said"), YOLO.values(), ids=YOLO)
def test_yolo(tmp_path, line, said, capsys):
    run("import", "yolo", yolo(tmp_path / "in", line), "--out", tmp_path / "out")
    captured = capsys.readouterr()
    assert said in captured.out + captured.err


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("nc: 3\nnames: [cat, dog]", "nc is 3 in"),
        ("names: ['', dog]", "a list or mapping of class names"),
        ("nc: 2", "Expected class names"),
    ],
)
def test_yolo_names(tmp_path, names, said, capsys):
    source = yolo(tmp_path / "in", "0 0.5 0.5 0.2 0.2", names)
    run("import", "yolo", source, "--out", tmp_path / "out")
    captured = capsys.readouterr()
    assert said in captured.out + captured.err


def test_yolo_pictures_of_one_name_share_their_labels_with_a_word(tmp_path, capsys):
    source = yolo(tmp_path / "in", "0 0.5 0.5 0.2 0.2")
    picture(source / "images" / "train" / "a.png")
    assert run("import", "yolo", source, "--out", tmp_path / "out") == 0
    assert "1 pictures with the labels of another of their name" in capsys.readouterr().out


def test_yolo_lines_of_five_and_of_more_numbers_are_boxes_and_polygons(tmp_path, capsys):
    lines = "0 0.5 0.5 0.25 0.5\n1 0.1 0.2 0.6 0.2 0.6 0.8"
    assert run("import", "yolo", yolo(tmp_path / "in", lines), "--out", tmp_path / "out") == 0
    found = boxes(tmp_path / "out")["a.jpg"]
    assert found[0] == ("cat", 15, 7.5, 10, 15)
    assert found[1] == ("dog", pytest.approx(4), pytest.approx(6), pytest.approx(20), 18)
    assert "1 of 2 objects" in capsys.readouterr().out
