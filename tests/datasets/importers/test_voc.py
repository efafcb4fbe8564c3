"""Pascal VOC: numbers typed from the definition, layouts, and a round trip."""

from xml.sax.saxutils import escape

import numpy as np
import pytest

from corrlight.datasets.importers.voc import read_voc
from corrlight.datasets.records import Ledger, ReadOptions
from tests.datasets.pictures_on_disk import OPTIONS, boxes, picture, read_split, run, write


def xml(objects, size=(40, 30), filename="a.jpg"):
    texts = []
    for name, *corners, extra in objects:
        tags = "".join(
            f"<{k}>{v}</{k}>"
            for k, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        )
        texts.append(f"<object><name>{escape(name)}</name>{extra}<bndbox>{tags}</bndbox></object>")
    width, height = size
    return (
        f"<annotation><filename>{filename}</filename><size><width>{width}</width>"
        f"<height>{height}</height></size>{''.join(texts)}</annotation>"
    )


@pytest.fixture
def kit(tmp_path):
    root = tmp_path / "VOC2007"
    for name in "abcd":
        picture(root / "JPEGImages" / f"{name}.jpg")
        picture(root / "SegmentationClass" / f"{name}.png")
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax>\
<ymax>3</ymax></bndbox></part>"
    objects = [
        ("dog", 1, 1, 40, 30, "<difficult>1</difficult><truncated>0</truncated>"),
        (" cat & co\n", 11, 6, 11, 15, part),
    ]
    write(root / "Annotations" / "a.xml", xml(objects))
    write(root / "Annotations" / "b.xml", xml([]))
    write(root / "Annotations" / "c.xml", xml([("dog", 2.5, 3, 10, 9, "")]))
    write(root / "Annotations" / "d.xml", xml([("dog", 5, 5, 5, 5, "")]))
    for name, stems in (("train", "a\nb"), ("val", "c"), ("trainval", "a\nb\nc"), ("test", "d")):
        write(root / "ImageSets" / "Main" / f"{name}.txt", stems + "\n")
    write(root / "ImageSets" / "Main" / "dog_train.txt", "a  1\nb -1\n")
    return root


def test_a_box_holds_its_first_and_last_pixel(kit, tmp_path, capsys):
    assert run("import", "voc", kit, "--out", tmp_path / "out") == 0
    # 1 to 40 is the whole width; one column is one pixel wide; the head is no object.
    assert boxes(tmp_path / "out") == {
        "a.jpg": [("dog", 0, 0, 40, 30), ("cat & co", 10, 5, 1, 10)],
        "b.jpg": [],
        "c.jpg": [("dog", 1.5, 2, 8.5, 7)],
    }
    assert boxes(tmp_path / "out", "val") == {"d.jpg": []}
    first = read_split(tmp_path / "out")["annotations"][0]
    assert (first["difficult"], first["truncated"], first["iscrowd"]) == (1, 0, 0)
    assert [c["name"] for c in read_split(tmp_path / "out")["categories"]] == ["cat & co", "dog"]
    text = capsys.readouterr().out
    assert "1 boxes whose two corners are the same point" in text
    assert "1 <part> of an object" in text
    assert "2 pictures" not in text.splitlines()[0]


def test_zero_based_corners_are_edges(kit, tmp_path):
    assert run("import", "voc", kit, "--zero-based", "--out", tmp_path / "out") == 0
    # The column of no width is left out.
    assert boxes(tmp_path / "out")["a.jpg"] == [("dog", 1, 1, 39, 29)]


def test_the_three_lists_on_request(kit, tmp_path):
    run("import", "voc", kit, "--splits", "train,val,test", "--out", tmp_path / "out")
    names = [list(boxes(tmp_path / "out", s)) for s in ("train", "val", "test")]
    assert names == [["a.jpg", "b.jpg"], ["c.jpg"], ["d.jpg"]]


@pytest.mark.parametrize(("choice", "crowd", "count"), [("crowd", 1, 3), ("drop", 0, 2)])
def test_difficult_objects(kit, tmp_path, choice, crowd, count):
    run("import", "voc", kit, "--difficult", choice, "--out", tmp_path / "out")
    annotations = read_split(tmp_path / "out")["annotations"]
    assert len(annotations) == count
    assert sum(a["iscrowd"] for a in annotations) == crowd


def test_folders_of_roboflow_and_a_stale_filename(tmp_path):
    for split, name in (("train", "x.v1"), ("valid", "y")):
        picture(tmp_path / split / f"{name}.jpg")
        text = xml([("cell", 3, 4, 6, 9, "")], filename="old.jpg")
        write(tmp_path / split / f"{name}.xml", text)
    picture(tmp_path / "train" / "nobody.JPG")
    ledger = Ledger()
    content = read_voc(tmp_path, ledger, OPTIONS)
    assert [(p.path.name, set(p.splits), p.labelled) for p in content.pictures] == [
        ("nobody.JPG", {"train"}, False),
        ("x.v1.jpg", {"train"}, True),
        ("y.jpg", {"val"}, True),
    ]
    assert content.pictures[1].annotations[0].shape.box == (2, 3, 4, 6)
    assert ledger.changed["<filename> that names another picture than the XML file ignored"].count


def test_sizes(tmp_path):
    picture(tmp_path / "turned.jpg", 40, 30, orientation=6)
    picture(tmp_path / "stored.jpg", 40, 30, orientation=6)
    picture(tmp_path / "none.jpg", 40, 30)
    write(tmp_path / "turned.xml", xml([], (30, 40)))
    write(tmp_path / "stored.xml", xml([], (40, 30)))
    write(tmp_path / "none.xml", xml([], (0, 0)))
    ledger = Ledger()
    sizes = {p.path.stem: p.size for p in read_voc(tmp_path, ledger, OPTIONS).pictures}
    assert sizes == {"turned": (40, 30), "stored": (30, 40), "none": (30, 40)}
    assert ledger.changed["sizes of 0 in the annotations replaced by the picture's"].count == 1
    write(tmp_path / "none.xml", xml([], (80, 60)))
    assert len(read_voc(tmp_path, ledger, OPTIONS).pictures) == 2
    assert "annotated as 80x60, but none.jpg is 40x30" in ledger.problems[0]
    options = ReadOptions(ignore_size=True)
    assert len(read_voc(tmp_path, Ledger(), options).pictures) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<annotation>", "it is no XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "document type"),
        ("<html/>", "<html>"),
        (xml([("dog", "x", 1, 2, 3, "")]), "object 1: xmin is 'x', not a number"),
        (xml([("dog", "nan", 1, 2, 3, "")]), "object 1: xmin is 'nan', not a number"),
        (xml([("", 1, 1, 2, 3, "")]), "object 1: it has no <name>"),
        (xml([]).replace("</size>", "</size><object><name>a</name></object>"), "no <bndbox>"),
    ],
)
def test_broken_files_are_one_line_each(tmp_path, capsys, text, said):
    picture(tmp_path / "in" / "a.jpg")
    picture(tmp_path / "in" / "b.jpg")
    write(tmp_path / "in" / "a.xml", text)
    write(tmp_path / "in" / "b.xml", xml([("dog", 1, 1, 2, 3, "")]))
    assert run("import", "voc", tmp_path / "in", "--out", tmp_path / "out") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "a.xml" in captured.err
    assert captured.err.count("\n") == 2
    assert not (tmp_path / "out").exists()
    arguments = ["voc", tmp_path / "in", "--skip-broken", "--out", tmp_path / "out"]
    assert run("import", *arguments) == 0
    assert "1 records that cannot be read" in capsys.readouterr().out
    assert boxes(tmp_path / "out")["b.jpg"] == [("dog", 0, 0, 2, 3)]


def test_names_in_lists_without_a_picture_are_named(kit):
    write(kit / "ImageSets" / "Main" / "train.txt", "a\nzzz\n")
    ledger = Ledger()
    read_voc(kit, ledger, OPTIONS)
    assert [p for p in ledger.problems if "zzz" in p]


def test_written_boxes_come_back(tmp_path):
    draw = np.random.default_rng(0)
    expected = {}
    for k in range(5):
        picture(tmp_path / "in" / f"{k}.png", 100, 80)
        corners = draw.integers(0, 60, (6, 2))
        sizes = draw.integers(2, 20, (6, 2))
        pixels = np.concatenate([corners, sizes], 1).tolist()
        # Pixel 0 is called 1; the last one of the box is in it.
        objects = [("o", x + 1, y + 1, x + w, y + h, "") for x, y, w, h in pixels]
        write(tmp_path / "in" / f"{k}.xml", xml(objects, (100, 80)))
        expected[f"{k}.png"] = [("o", *map(float, p)) for p in pixels]
    run("import", "voc", tmp_path / "in", "--out", tmp_path / "out")
    assert boxes(tmp_path / "out") == expected


def test_a_folder_without_files_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="Expected a folder with Pascal VOC files"):
        read_voc(tmp_path, Ledger(), OPTIONS)
