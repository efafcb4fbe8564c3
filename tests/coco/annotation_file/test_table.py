"""Annotation files as one table: from a file in pieces, from a dictionary, and broken."""

import copy
import json

import numpy as np
import pytest

from corrlight.coco.annotation_file.table import annotation_table, read_annotations
from tests.metrics.coco_oracle import random_dataset, with_masks

CONTENT = {
    "info": {"images": "of another key"},
    "images": [
        {"id": 5, "file_name": "b.png", "width": 40, "height": 30},
        {"id": 3, "file_name": "a.png", "width": 20, "height": 10},
    ],
    "annotations": [
        {"id": 12, "image_id": 3, "category_id": 7, "bbox": [1, 2, 3, 4]},
        {"id": 11, "image_id": 5, "category_id": 0, "bbox": [0, 0, 40, 30], "area": 7.5},
        {"id": 17, "image_id": 5, "category_id": 7, "bbox": [9, 9, -1, 2], "iscrowd": 1},
    ],
    "categories": [{"id": 7, "name": "dog"}, {"id": 0, "name": "cat"}],
}
COLUMNS = (
    *("image_ids", "sizes", "category_ids", "ids", "image_idx", "category_idx"),
    *("boxes", "areas", "crowd", "crowd_given", "invalid"),
)


def same(a, b):
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert (a.file_names, a.names, a.segmentations) == (b.file_names, b.names, b.segmentations)
    # A finding comes with its list, and those follow in the order of the file.
    assert {f.kind: f for f in a.findings} == {f.kind: f for f in b.findings}


def test_columns():
    table = annotation_table(CONTENT)
    assert len(table) == 3
    assert table.image_ids.tolist() == [5, 3]
    assert table.file_names == ("b.png", "a.png")
    assert table.sizes.tolist() == [[30, 40], [10, 20]]
    assert table.category_ids.tolist() == [0, 7]
    assert table.names == ("cat", "dog")
    assert table.image_idx.tolist() == [1, 0, 0]
    assert table.category_idx.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(table.areas, [np.nan, 7.5, np.nan])
    assert table.crowd.tolist() == [False, False, True]
    assert table.invalid.tolist() == [False, False, True]
    assert table.segmentations is None
    found = {f.kind: f.count for f in table.findings}
    assert found == {"negative_box": 1, "no_area": 2, "no_iscrowd": 2}


@pytest.mark.parametrize("piece", [1, 3, 1000])
@pytest.mark.parametrize("order", [("images", "categories", "annotations"), None])
def test_a_file_in_pieces_and_in_any_order_is_its_content(tmp_path, monkeypatch, piece, order):
    monkeypatch.setattr("corrlight.json_files._PIECE", piece)
    gt, dt = random_dataset(np.random.default_rng(3), 6, 3, ties=False, crowds=True)
    gt, _ = with_masks(gt, dt, np.random.default_rng(3))
    gt["annotations"][4] = {**gt["annotations"][4], "bbox": None, "segmentation": [[*range(7)]]}
    gt["images"][2].pop("width")
    content = {key: gt[key] for key in order or reversed(gt)}
    (tmp_path / "gt.json").write_text(json.dumps(content))
    for options in ({}, {"masks": True}, {"keep_masks": True}):
        whole = annotation_table(copy.deepcopy(gt), **options)
        same(read_annotations(tmp_path / "gt.json", **options), whole)
        assert (whole.segmentations is not None) == ("keep_masks" in options)
        assert ("broken_mask" in whole.findings) == bool(options)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"images": ...}, "no COCO file: the key 'images' is missing"),
        ({"categories": {}}, "no COCO file: 'categories' is a dict"),
        ({"images": []}, "'images' is empty"),
        ({"categories": []}, "'categories' is empty"),
    ],
)
def test_a_list_that_is_not_there_is_the_only_thing_said(tmp_path, change, line):
    content = {k: v for k, v in {**CONTENT, **change}.items() if v is not ...}
    content["annotations"] = CONTENT["annotations"][:1]
    table = annotation_table(content)
    whole_file = [f.lines for f in table.findings if not f.noun]
    assert whole_file == [[line]]
    broken = next(iter(change))
    reported = any(f.kind.startswith("unknown") for f in table.findings)
    # Of an empty list, whatever refers to it is unknown; of none, nothing can be said.
    assert reported == (change[broken] == [])
    assert -1 in (table.image_idx if broken == "images" else table.category_idx)


@pytest.mark.parametrize("content", [[], None, "text", 3])
def test_what_is_no_object(tmp_path, content):
    (tmp_path / "gt.json").write_text(json.dumps(content))
    for table in (annotation_table(content), read_annotations(tmp_path / "gt.json")):
        assert len(table) == 0
        (finding,) = table.findings
        assert finding.kind == "no_coco"
        assert f"but it is a {type(content).__name__}" in finding.lines[0]


def test_test_dev_has_no_annotations():
    content = {k: v for k, v in CONTENT.items() if k != "annotations"}
    assert not len(annotation_table(content, annotated=False).findings)
    assert "no_coco" in annotation_table(content).findings


def test_no_annotation_is_taken_for_one_of_the_last_image():
    content = copy.deepcopy(CONTENT)
    content["annotations"] = [{**CONTENT["annotations"][0], "image_id": 99, "bbox": [30, 0, 5, 5]}]
    table = annotation_table(content)
    assert table.image_idx.tolist() == [-1]
    assert "outside_box" not in table.findings  # of an image of 20 x 10 it would be


def test_a_list_comes_once(tmp_path):
    path = tmp_path / "gt.json"
    text = json.dumps(CONTENT)
    path.write_text(text[:-1] + ', "images": []}')
    with pytest.raises(ValueError, match="the key 'images' comes twice"):
        read_annotations(path)
