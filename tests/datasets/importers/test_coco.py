"""COCO files: layouts, ids, what is filled in, and a round trip through our own layout."""

import json

import pytest

from corrlight.data.coco import load_annotations
from corrlight.datasets.importers.coco import read_coco
from corrlight.datasets.records import Ledger
from tests.datasets.pictures_on_disk import OPTIONS, boxes, picture, read_split, run, write


def document(names=("a.jpg",), first=1, categories=None, **more):
    images = [
        {"id": first + k, "file_name": n, "width": 40, "height": 30} for k, n in enumerate(names)
    ]
    annotations = [
        {"id": first + k, "image_id": i["id"], "category_id": 7, "bbox": [1.25, 2, 3, 4],
         "area": 9.5, "iscrowd": k % 2, "segmentation": [[1, 2, 4, 2, 4, 6]], "score": 0.5}
        for k, i in enumerate(images)
    ]  # fmt: skip
    categories = categories or [{"id": 9, "name": "a"}, {"id": 7, "name": "z", "color": "red"}]
    data = {"images": images, "annotations": annotations, "categories": categories}
    return {**data, **more}


def test_everything_is_kept(tmp_path):
    data = document(["x/a.jpg", "b.jpg"], first=100)
    data["images"][0]["license"] = 3
    for name in ("x/a.jpg", "b.jpg"):
        picture(tmp_path / "in" / "train2017" / name)
    write(tmp_path / "in" / "annotations" / "instances_train2017.json", data)
    write(tmp_path / "in" / "annotations" / "captions_train2017.json", "{}")
    assert run("import", "coco", tmp_path / "in", "--out", tmp_path / "out") == 0
    written = read_split(tmp_path / "out")
    assert written["images"] == data["images"]
    assert written["annotations"] == data["annotations"]
    assert written["categories"] == sorted(data["categories"], key=lambda c: c["id"])
    loaded = load_annotations(tmp_path / "out" / "annotations" / "train.json", load_masks=True)
    assert loaded.class_names == ("z", "a")


def test_a_record_that_is_repeated_is_one_object(tmp_path, capsys):
    data = document(["a.jpg", "b.jpg"])
    repeated, other = dict(data["annotations"][1]), {**data["annotations"][1], "bbox": [5, 6, 7, 8]}
    data["annotations"] += [repeated, other]
    for name in ("a.jpg", "b.jpg"):
        picture(tmp_path / "in" / "train" / name)
    write(tmp_path / "in" / "annotations" / "train.json", data)
    assert run("import", "coco", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert boxes(tmp_path / "out") == {
        "a.jpg": [("z", 1.25, 2, 3, 4)],
        "b.jpg": [("z", 1.25, 2, 3, 4), ("z", 5, 6, 7, 8)],
    }
    said = capsys.readouterr().out
    assert "1 objects that stand there again, with the same id" in said
    assert "annotations[2]" in said


def test_roboflow(tmp_path):
    categories = [
        {"id": 0, "name": "cells", "supercategory": "none"},
        {"id": 7, "name": "z", "supercategory": "cells"},
    ]
    for split, name in (("train", "a.rf.1.jpg"), ("valid", "b.rf.2.jpg")):
        picture(tmp_path / "in" / split / name)
        data = document([name], 0, categories)
        write(tmp_path / "in" / split / "_annotations.coco.json", data)
    assert run("import", "coco", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert boxes(tmp_path / "out", "val") == {"b.rf.2.jpg": [("z", 1.25, 2, 3, 4)]}
    written = read_split(tmp_path / "out")
    assert written["categories"] == [categories[1]]
    # pycocotools takes annotation 0 for "not matched".
    assert written["annotations"][0]["id"] == 1


def test_lvis(tmp_path):
    data = document()
    image = data["images"][0]
    del image["file_name"], data["annotations"][0]["iscrowd"]
    image["coco_url"] = "http://images.cocodataset.org/train2017/000001.jpg"
    image["neg_category_ids"] = [9]
    picture(tmp_path / "in" / "train2017" / "000001.jpg")
    picture(tmp_path / "in" / "val2017" / "000001.jpg", 41, 30)
    file = write(tmp_path / "in" / "lvis_v1_val.json", data)
    assert run("import", "coco", file, "--out", tmp_path / "out") == 0
    written = read_split(tmp_path / "out", "val")
    assert written["images"][0]["file_name"] == "000001.jpg"
    assert written["images"][0]["neg_category_ids"] == [9]
    assert written["annotations"][0]["iscrowd"] == 0


def test_missing_values_are_filled_and_counted(tmp_path):
    data = document()
    del data["images"][0]["width"], data["annotations"][0]["bbox"], data["annotations"][0]["area"]
    picture(tmp_path / "a.jpg")
    ledger = Ledger()
    content = read_coco(write(tmp_path / "train.json", data), ledger, OPTIONS)
    shape = content.pictures[0].annotations[0].shape
    assert (content.pictures[0].size, shape.box, shape.area) == ((30, 40), (1, 2, 3, 4), 6)
    assert sum(t.count for t in ledger.changed.values()) == 3


@pytest.mark.parametrize(
    ("segmentation", "box"),
    [
        ({"size": [30, 40], "counts": [35, 2, 1163]}, [1, 5, 1, 2]),
        ({"size": [30, 40], "counts": [35, 2]}, None),
        ({"size": [30, 41], "counts": [35, 2, 1193]}, None),
        ({"size": [30, 40], "counts": "zz"}, None),
        ([[1, 2, 3]], None),
    ],
)
def test_boxes_from_masks(tmp_path, segmentation, box):
    data = document()
    data["annotations"][0].update(bbox=None, segmentation=segmentation)
    picture(tmp_path / "a.jpg")
    ledger = Ledger()
    content = read_coco(write(tmp_path / "train.json", data), ledger, OPTIONS)
    found = [list(a.shape.box) for a in content.pictures[0].annotations]
    assert found == ([box] if box else [])
    assert len(ledger.problems) == (box is None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_id": 5}, "no image 5"),
        ({"category_id": 1}, "or category 1"),
        ({"category_id": "7"}, "category_id is '7', not a whole number"),
        ({"bbox": [1, 2, 3]}, "bbox is [1, 2, 3]"),
        ({"bbox": [1, 2, 3, None]}, "bbox is None, not a number"),
        ({"iscrowd": 2}, "iscrowd is 2"),
    ],
)
def test_broken_annotations(tmp_path, change, said):
    data = document()
    data["annotations"][0].update(change)
    picture(tmp_path / "a.jpg")
    ledger = Ledger()
    read_coco(write(tmp_path / "train.json", data), ledger, OPTIONS)
    (problem,) = ledger.problems
    assert "train.json: annotations[0]: " in problem
    assert said in problem


def test_two_files_of_one_split_are_asked_about(tmp_path):
    for name in ("train_a", "train_b"):
        write(tmp_path / "in" / "annotations" / f"{name}.json", document())
    with pytest.raises(ValueError, match="train=FILE"):
        read_coco(tmp_path / "in", Ledger(), OPTIONS)
    picture(tmp_path / "in" / "p" / "a.jpg")
    sources = [
        f"train={tmp_path}/in/annotations/train_a.json",
        f"val={tmp_path}/in/annotations/train_b.json",
    ]
    assert run("import", "coco", *sources, "--out", tmp_path / "out") == 0
    assert boxes(tmp_path / "out") == boxes(tmp_path / "out", "val") != {}


def test_our_own_layout_comes_back(tmp_path):
    for split, first in (("train", 1), ("val", 50)):
        names = ["a.jpg", "b.jpg"]
        for name in names:
            picture(tmp_path / "in" / split / name)
        write(tmp_path / "in" / "annotations" / f"{split}.json", document(names, first))
    run("import", "coco", tmp_path / "in", "--out", tmp_path / "out")
    run("import", "coco", tmp_path / "out", "--out", tmp_path / "again")
    for split in ("train", "val"):
        first, second = (read_split(tmp_path / n, split) for n in ("out", "again"))
        assert json.dumps(first) == json.dumps(second)
