"""CVAT for images: turned boxes, ellipses and masks with numbers worked out by hand."""

import math

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from corrlight.datasets.importers.cvat import read_cvat
from corrlight.datasets.records import Ledger
from tests.datasets.pictures_on_disk import OPTIONS, boxes, picture, run, write


def xml(shapes, name="a.jpg", subset="", labels=("dog", "cat")):
    meta = "".join(f"<label><name>{n}</name></label>" for n in labels)
    subset = f'subset="{subset}"' if subset else ""
    return (
        f"<annotations><version>1.1</version><meta><task><labels>{meta}</labels></task></meta>"
        f'<image id="0" name="{name}" {subset} width="40" height="30">{shapes}</image>'
        "</annotations>"
    )


def shapes_of(tmp_path, text):
    picture(tmp_path / "images" / "a.jpg")
    write(tmp_path / "annotations.xml", xml(text))
    ledger = Ledger()
    content = read_cvat(tmp_path, ledger, OPTIONS)
    assert content.classes == ["dog", "cat"]
    return [a.shape for a in content.pictures[0].annotations], ledger


def test_upright_and_turned_boxes(tmp_path):
    box = '<box label="cat" xtl="10" ytl="10.5" xbr="20" ybr="14.5" {}/>'
    found, _ = shapes_of(tmp_path, box.format("") + box.format('rotation="90"'))
    assert found[0].box == (10, 10.5, 10, 4)
    assert found[0].segmentation is None
    # Around the centre (15, 12.5).
    assert found[1].box == (13, 7.5, 4, 10)
    assert found[1].area == 40
    # Clockwise on the screen: the first corner goes to the upper right.
    assert found[1].segmentation == [[17, 7.5, 17, 17.5, 13, 17.5, 13, 7.5]]


def test_turned_by_any_angle(tmp_path):
    box = '<box label="cat" xtl="10" ytl="10" xbr="20" ybr="14" rotation="30"/>'
    (found,), _ = shapes_of(tmp_path, box)
    width = 10 * math.cos(math.pi / 6) + 4 * math.sin(math.pi / 6)
    height = 10 * math.sin(math.pi / 6) + 4 * math.cos(math.pi / 6)
    expected = (15 - width / 2, 12 - height / 2, width, height)
    np.testing.assert_allclose(found.box, expected, atol=1e-5)


def test_ellipses_polygons_and_masks(tmp_path):
    text = (
        '<ellipse label="cat" cx="15" cy="10" rx="6" ry="3" rotation="90"/>'
        '<polygon label="cat" points="1,2;11,2;1,12.50"/>'
        '<mask label="cat" left="4" top="5" width="3" height="2" rle="1, 2, 1, 1, 1"/>'
        '<points label="cat" points="1,2"/><tag label="dog"/>'
    )
    found, ledger = shapes_of(tmp_path, text)
    assert [s.box for s in found] == [(12, 4, 6, 12), (1, 2, 10, 10.5), (5, 5, 2, 2)]
    assert [s.area for s in found] == [round(18 * math.pi, 6), 52.5, 3]
    expected = np.zeros((30, 40), np.uint8)
    expected[5, 5:7] = expected[6, 5] = 1
    assert (mask_utils.decode(found[2].segmentation) == expected).all()
    assert sum(t.count for t in ledger.left_out.values()) == 2


def test_subsets_and_attributes(tmp_path):
    box = (
        '<box label="cat" xtl="1" ytl="2" xbr="3" ybr="4" occluded="1">'
        '<attribute name="age">old</attribute></box>'
    )
    picture(tmp_path / "in" / "images" / "seq" / "a.jpg")
    picture(tmp_path / "in" / "images" / "other.jpg")
    write(tmp_path / "in" / "annotations.xml", xml(box, "seq/a.jpg", "Validation"))
    assert run("import", "cvat", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert boxes(tmp_path / "out", "val") == {"a.jpg": [("cat", 1, 2, 2, 2)]}
    annotation = read_cvat(tmp_path / "in", Ledger(), OPTIONS).pictures[0].annotations[0]
    assert annotation.extra == {"occluded": 1, "attributes": {"age": "old"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('<box label="a" xtl="1" ytl="1" xbr="2"/>', "ybr is None"),
        ('<box xtl="1" ytl="1" xbr="2" ybr="2"/>', "no label"),
        ('<polygon label="a" points="1,2;3,4"/>', "three or more"),
        ('<mask label="a" left="0" top="0" width="2" height="2" rle="3"/>', "do not add up"),
        ('<blob label="a"/>', "<blob>"),
    ],
)
def test_broken_shapes(tmp_path, text, said):
    (problem,) = shapes_of(tmp_path, text)[1].problems
    assert "image 'a.jpg'" in problem
    assert said in problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<annotations><track/></annotations>", "of a video"),
        ("<annotations/>", "<image> elements"),
        ("<!DOCTYPE a><annotations/>", "document type"),
    ],
)
def test_other_files(tmp_path, text, said):
    write(tmp_path / "annotations.xml", text)
    with pytest.raises(ValueError, match=said):
        read_cvat(tmp_path, Ledger(), OPTIONS)
