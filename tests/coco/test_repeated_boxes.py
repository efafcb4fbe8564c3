"""Boxes that come again, against comparing each with each."""

import json

import numpy as np

from corrlight.coco.annotation_file.table import annotation_table, read_annotations


def data(num=300):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 3, (num, 7)).tolist()
    return {
        "images": [{"id": k, "file_name": f"{k}.png", "width": 9, "height": 9} for k in range(3)],
        "categories": [{"id": k, "name": str(k)} for k in range(3)],
        "annotations": [
            {
                "id": k + 1, "image_id": i, "category_id": c, "iscrowd": w % 2, "area": 4,
                "bbox": [x, y + 0.1, 1 + a, 2],
            }
            for k, (i, c, w, x, y, a, _) in enumerate(values)
        ],
    }  # fmt: skip


def test_the_later_ones_are_counted():
    content, seen, again = data(), set(), []
    for record in content["annotations"]:
        keys = ("image_id", "category_id", "iscrowd")
        key = (*(record[k] for k in keys), *record["bbox"])
        if key in seen:
            again.append(record["id"])
        seen.add(key)
    finding = annotation_table(content).findings["repeated_box"]
    assert finding.count == len(again) > 50
    assert [e.row + 1 for e in finding.examples] == again[:20]
    assert not finding.stops
    assert finding.level("train") == "warning"
    assert finding.level("measure") == "note"


def test_few_are_no_warning_and_minus_zero_is_zero():
    content = data(0)
    content["annotations"] = [
        {"id": k + 1, "image_id": 0, "category_id": 0, "iscrowd": 0, "area": 1,
         "bbox": [k / 100, 1, 1, 1]}
        for k in range(400)
    ]  # fmt: skip
    content["annotations"].append({**content["annotations"][0], "id": 900, "bbox": [-0.0, 1, 1, 1]})
    finding = annotation_table(content).findings["repeated_box"]
    assert finding.count == 1
    assert finding.level("train") == "note"


def test_a_sample_of_masks_is_spread_over_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("corrlight.json_files._PIECE", 7)
    content = data(100)
    for record in content["annotations"]:
        record["segmentation"] = [[0, 0, record["id"], 0, 4, 4]]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    kept = read_annotations(path, sample_masks=20).segmentations
    places = [k for k, shape in enumerate(kept) if shape is not None]
    assert places == list(range(0, 100, 8))
    assert all(kept[k][0][2] == k + 1 for k in places)
    assert read_annotations(path, keep_masks=True).segmentations[99] is not None
    assert read_annotations(path, masks=True).segmentations is None
