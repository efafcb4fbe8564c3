import json

import pytest

from corrlight.coco.findings import UnknownIdError
from corrlight.metrics import GroundTruth

CONTENT = {
    "images": [{"id": 7}, {"id": 0}],
    "categories": [{"id": 5, "name": "cat"}, {"id": 2}],
    "annotations": [
        {"id": 0, "image_id": 7, "category_id": 5, "bbox": [1, 2, 3, 4]},
        {"id": 1, "image_id": 0, "category_id": 2, "bbox": [0, 0, 2, 2], "area": 3, "iscrowd": 1},
        {"id": 2, "image_id": 0, "category_id": 5, "bbox": [0, 0, 5, 5], "area": 9, "iscrowd": 0},
    ],
}


def test_columns(tmp_path):
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(CONTENT))
    gt = GroundTruth.load(file)
    assert gt.image_ids.tolist() == [0, 7]
    assert gt.category_ids.tolist() == [2, 5]
    assert gt.names == ("2", "cat")
    assert gt.labels.tolist() == [0, 1, 1]
    assert gt.image_idx.tolist() == [0, 0, 1]
    assert gt.areas.tolist() == [3, 9, 12]  # the last one is filled
    assert gt.crowd.tolist() == [True, False, False]
    assert (gt.num_areas_filled, gt.num_crowd_filled) == (1, 1)
    assert (len(gt), gt.num_images, gt.num_classes) == (3, 2, 2)


def test_category_order_is_that_of_the_labels():
    gt = GroundTruth.from_coco(CONTENT, [5])
    assert gt.labels.tolist() == [0, 0]
    gt = GroundTruth.from_coco(CONTENT, [5, 2])
    assert gt.names == ("cat", "2")
    assert gt.labels.tolist() == [0, 0, 1]


def test_restricted():
    gt = GroundTruth.from_coco(CONTENT).restricted([7])
    assert gt.image_ids.tolist() == [7]
    assert gt.image_idx.tolist() == [0]
    assert gt.areas.tolist() == [12]
    with pytest.raises(ValueError, match="but got image id 8"):
        GroundTruth.from_coco(CONTENT).restricted([7, 8])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": None}, "a list `images`"),
        ({"images": []}, "known image_id in annotation number 0, but got 7"),
        ({"categories": [{"id": 5}]}, "known category_id in annotation number 1, but got 2"),
    ],
)
def test_errors(change, message):
    with pytest.raises(ValueError, match=message):
        GroundTruth.from_coco(CONTENT | change)


def test_masks_need_a_segmentation_and_a_size():
    content = json.loads(json.dumps(CONTENT))
    for image in content["images"]:
        image.update(height=10, width=10)
    for annotation in content["annotations"]:
        annotation["segmentation"] = [[1, 1, 5, 1, 5, 5, 1, 5]]
    masks = GroundTruth.from_coco(content, masks=True).masks
    assert [m["size"] for m in masks] == [[10, 10]] * 3
    assert len(GroundTruth.from_coco(content, masks=True).restricted([7]).masks) == 1
    assert GroundTruth.from_coco(content).masks is None
    with pytest.raises(ValueError, match="segmentation in annotation number 0, but got None"):
        GroundTruth.from_coco(CONTENT, masks=True)


def test_unknown_category_and_no_dictionary(tmp_path):
    with pytest.raises(ValueError, match=r"`category_ids` .* but got \[9\]"):
        GroundTruth.from_coco(CONTENT, [5, 9])
    file = tmp_path / "list.json"
    file.write_text("[]")
    with pytest.raises(ValueError, match="but got a list"):
        GroundTruth.load(file)


def test_what_is_unknown_may_be_left_out_but_not_everything():
    content = json.loads(json.dumps(CONTENT))
    content["annotations"].append({**content["annotations"][0], "id": 77, "image_id": 99})
    content["annotations"].append({**content["annotations"][0], "id": 78, "category_id": 99})
    with pytest.raises(UnknownIdError, match="known image_id in annotation number 3"):
        GroundTruth.from_coco(content)
    known = GroundTruth.from_coco(content, skip_unknown=True)
    whole = GroundTruth.from_coco(CONTENT)
    assert known.boxes.tolist() == whole.boxes.tolist()
    assert known.rows.tolist() == whole.rows.tolist()
    assert known.findings.count("unknown_image_id", "unknown_category_id") == 2
    with pytest.raises(UnknownIdError, match="and in 2 more"):
        GroundTruth.from_coco({**CONTENT, "images": [{"id": 99}]}, skip_unknown=True)
