"""Label Studio's JSON export: percent, turned regions, brushes, several annotations."""

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from corrlight.datasets.importers.labelstudio import read_labelstudio
from corrlight.datasets.records import Ledger
from tests.datasets.pictures_on_disk import OPTIONS, picture, write


def region(kind="rectangle", label="cat", identity="r", **value):
    labels = {f"{kind}labels": [label]} if label else {}
    return {"id": identity, "type": f"{kind}labels", "value": {**value, **labels},
            "original_width": 40, "original_height": 30, "image_rotation": 0}  # fmt: skip


RECTANGLE = {"x": 25, "y": 50, "width": 50, "height": 20}


def task(results, image="/data/upload/1/0123abcd-a.jpg", **more):
    return {"id": 7, "data": {"image": image}, "annotations": [{"result": results, **more}]}


def read(folder, tasks):
    picture(folder / "a.jpg")
    write(folder / "export.json", tasks)
    ledger = Ledger()
    return read_labelstudio(folder / "export.json", ledger, OPTIONS), ledger


def shapes(folder, *results):
    content, ledger = read(folder, [task(list(results))])
    assert ledger.problems == []
    return [a.shape for a in content.pictures[0].annotations]


def test_percent_of_width_and_height(tmp_path):
    found = shapes(
        tmp_path,
        region(**RECTANGLE),
        region(**RECTANGLE, rotation=90, identity="s"),
        region("ellipse", identity="t", x=50, y=50, radiusX=10, radiusY=10),
        region("polygon", identity="u", points=[[0, 0], [50, 0], [0, 50]]),
    )
    assert found[0].box == (10, 15, 20, 6)
    # Around its first corner (10, 15), clockwise: to the left of it and down.
    assert found[1].box == (4, 15, 6, 20)
    assert found[2].box == (16, 12, 8, 6)
    assert found[3].box == (0, 0, 20, 15)


def _packed(values):
    """Pack bytes as runs: a second implementation of the format, for repeated values."""
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16))
    place = 0
    while place < len(values):
        end = place
        while end < len(values) and values[end] == values[place] and end - place < 65536:
            end += 1
        if end - place == 1:  # As literal, in the shortest form of counts.
            bits += f"000{0:03b}{values[place]:08b}"
        else:
            bits += f"111{end - place - 1:016b}{values[place]:08b}"
        place = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]


def test_brushes(tmp_path):
    mask = np.zeros((30, 40), np.uint8)
    mask[5:9, 3:20] = mask[20, 7] = 1
    rgba = np.repeat(mask[:, :, None] * 255, 4, 2)
    (found,) = shapes(tmp_path, region("brush", format="rle", rle=_packed(rgba.ravel().tolist())))
    assert (mask_utils.decode(found.segmentation) == mask).all()
    assert found.box == (3, 5, 17, 16)
    assert found.area == mask.sum()


def test_label_in_a_result_of_its_own(tmp_path):
    shape = region(label=None, **RECTANGLE) | {"type": "rectangle"}
    label = {"id": "r", "type": "labels", "value": {**RECTANGLE, "labels": ["dog"]}}
    content, _ = read(tmp_path, [task([shape, label])])
    assert [a.label for a in content.pictures[0].annotations] == ["dog"]


def test_which_annotation_counts(tmp_path):
    old = {"result": [region(label="old", **RECTANGLE)], "updated_at": "2024-01-01T00:00:00Z"}
    new = {"result": [region(label="new", **RECTANGLE)], "updated_at": "2024-02-01T00:00:00Z"}
    skipped = {"result": [], "was_cancelled": True, "updated_at": "2025"}
    base = {"id": 1, "data": {"image": "s3://bucket/x/a.jpg"}}
    content, ledger = read(tmp_path, [{**base, "annotations": [new, old, skipped]}])
    assert content.pictures[0].annotations[0].label == "new"
    assert ledger.left_out["further annotations of the same task"].count == 1
    true = {**old, "ground_truth": True}
    content, _ = read(tmp_path, [{**base, "annotations": [true, new]}])
    assert content.pictures[0].annotations[0].label == "old"
    content, ledger = read(tmp_path, [{**base, "annotations": [skipped]}])
    assert content.pictures == []
    assert ledger.left_out["tasks that were skipped"].count == 1
    content, _ = read(tmp_path, [{**base, "annotations": []}])
    assert not content.pictures[0].labelled
    content, _ = read(tmp_path, [task([])])
    assert content.pictures[0].labelled


@pytest.mark.parametrize("image", ["/data/local-files/?d=set%2Fa.jpg", "http://h/a.jpg", "a.jpg"])
def test_paths(tmp_path, image):
    content, ledger = read(tmp_path, [task([], image)])
    assert [p.path.name for p in content.pictures] == ["a.jpg"]
    assert ledger.problems == []


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (region(x=1, y=2, width=3), "height is None"),
        (region("polygon", points=[[1, 2]]), "a polygon of 1 points"),
        (region("brush", rle=[0, 0, 0, 4, 0, 0, 0]), "not four a pixel"),
        (region("brush", rle=[0, 0, 18, 192, 56]), "ends too early"),
        (region("brush", rle=["x"]), "no list of bytes"),
        (region(**RECTANGLE) | {"image_rotation": 90}, "turned view"),
    ],
)
def test_broken_regions(tmp_path, result, said):
    (problem,) = read(tmp_path, [task([result])])[1].problems
    assert "task 7, region r: " in problem
    assert said in problem


@pytest.mark.parametrize("content", ["{}", "[3]", '[{"image": "a.jpg"}]'])
def test_other_files(tmp_path, content):
    with pytest.raises(ValueError, match="JSON-MIN"):
        read_labelstudio(write(tmp_path / "a.json", content), Ledger(), OPTIONS)
