"""Images: sizes, and names that stay in their folder."""

import pytest

from corrlight.coco.annotation_file.images import ImageList
from corrlight.coco.findings import Findings


def finished(*records, piece=2):
    listed = ImageList(Findings())
    for first in range(0, len(records), piece):
        listed.add(records[first : first + piece], first)
    listed.finish()
    return listed


def named(*names):
    return finished(*({"id": k, "file_name": n, "height": 1, "width": 1} for k, n in
                      enumerate(names)))  # fmt: skip


@pytest.mark.parametrize(
    ("height", "width", "size", "kind"),
    [
        (30, 40, [30, 40], None),
        (30.0, 40, [30, 40], None),
        (None, None, [0, 0], "no_size"),
        (30, None, [30, 0], "no_size"),
        (0, 40, [0, 40], "no_size"),
        (-1, 40, [0, 0], "size"),
        ("30", 40, [0, 0], "size"),
        (30.5, 40, [0, 0], "size"),
        (True, 40, [0, 0], "size"),
        ("30", None, [0, 0], "size"),
    ],
)
def test_sizes(height, width, size, kind):
    images = finished(
        {"id": 1, "file_name": "a", "height": 5, "width": 6},
        {"id": 2, "file_name": "b", "height": height, "width": width},
    )
    assert images.sizes.tolist() == [[5, 6], size]
    assert [f.kind for f in images.findings] == ([] if kind is None else [kind])


def test_one_without_size_can_be_measured_but_not_trained_on():
    (finding,) = finished({"id": 1, "file_name": "a"}).findings
    assert (finding.level("measure"), finding.level("train")) == ("note", "error")


@pytest.mark.parametrize(
    "name", ["/etc/x.png", "../x.png", "a/../../x.png", "..\\x.png", "C:\\x.png", "C:x.png", "a\0b",
             "\\\\host\\share\\x.png"],
)  # fmt: skip
def test_names_that_leave_their_folder_on_any_system(name):
    images = named("a.png", name)
    (finding,) = images.findings
    assert (finding.kind, finding.count) == ("outside_folder", 1)
    assert finding.examples[0].row == 1


@pytest.mark.parametrize("name", ["a/b/c.png", "..a.png", "a..b/c...png", "a b.png", "ü.png"])
def test_names_that_stay(name):
    assert not len(named(name).findings)


def test_names_come_once():
    images = named("a.png", "b.png", "a.png", "a.png")
    assert [f.lines for f in images.findings] == [
        ["image 2: same file_name 'a.png' as image 0", "image 3: same file_name 'a.png' as image 0"]
    ]


def test_images_without_a_name():
    images = named(None, "", 7, ["a"])
    assert images.file_names == [""] * 4
    (finding,) = images.findings
    assert (finding.kind, finding.count) == ("file_name", 4)
    assert finding.level("measure") == "note"


def test_lvis_names_images_by_their_address():
    address = "http://images.example/{}/{}.jpg".format
    sizes = {"height": 1, "width": 1}
    one = [{"id": k, "coco_url": address("train2017", k), **sizes} for k in range(3)]
    assert finished(*one).file_names == ["0.jpg", "1.jpg", "2.jpg"]
    # Of two folders, the folder belongs to the name.
    images = finished(
        *one,
        {"id": 3, "coco_url": address("val2017", 0), **sizes},
        {"id": 4, "coco_url": address("val2017", 4), "file_name": "own.jpg", **sizes},
    )
    names = [*(f"train2017/{k}.jpg" for k in range(3)), "val2017/0.jpg", "own.jpg"]
    assert images.file_names == names
    assert {f.kind: f.count for f in images.findings} == {"coco_url": 4}
    assert images.findings["coco_url"].level("train") == "note"


def test_none():
    images = finished()
    assert images.sizes.shape == (0, 2)
    assert images.file_names == []
