"""Detections of a results file, piece by piece, with boxes, masks or both."""

import json

import msgspec
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from corrlight.coco.detections import RECORDS, read_detections, typed_detections
from corrlight.coco.findings import MaskError
from corrlight.coco.ground_truth import GroundTruth

GROUND_TRUTH = GroundTruth.from_coco(
    {
        "images": [{"id": 9, "height": 10, "width": 20}, {"id": 4, "height": 10, "width": 20}],
        "categories": [{"id": 3}, {"id": 70}, {"id": 50}],
        "annotations": [],
    },
    category_ids=[70, 3],  # labels 0 and 1
)
GRID = np.zeros((10, 20), np.uint8, order="F")
GRID[2:5, 2:6] = GRID[8, 11] = 1
MASK = {"size": [10, 20], "counts": mask_utils.encode(GRID)["counts"].decode()}
BOX = {"image_id": 4, "category_id": 3, "score": 0.5, "bbox": [1, 2, 3, 4]}
BOTH = {**BOX, "segmentation": MASK}
MASKED = {k: v for k, v in BOTH.items() if k != "bbox"}


def read(*content, masks=None, **more):
    return read_detections(content, GROUND_TRUTH, masks, **more)


def test_columns_in_the_order_of_the_file():
    piece = read(BOX, {**BOX, "image_id": 9, "category_id": 70, "score": -2}, masks=False)
    assert piece.image_idx.tolist() == [0, 1]
    assert piece.labels.tolist() == [1, 0]
    assert piece.boxes.tolist() == [[1, 2, 3, 4]] * 2
    assert piece.scores.tolist() == [0.5, -2]
    assert piece.areas.tolist() == [12, 12]
    assert piece.masks is None
    assert not piece.masked.any()


def test_a_category_that_is_not_evaluated_is_unknown():
    with pytest.raises(ValueError, match="known category_id in detection number 1, but got 50"):
        read(BOX, {**BOX, "category_id": 50})


def test_without_a_box_the_extent_of_the_mask_is_one():
    piece = read(BOTH, MASKED)
    ys, xs = np.nonzero(GRID)
    extent = [xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1]
    assert piece.boxes.tolist() == [[1, 2, 3, 4], extent]
    assert piece.areas.tolist() == [12, extent[2] * extent[3]]
    assert not piece.by_mask


def test_if_the_first_has_no_box_areas_are_those_of_masks_as_in_pycocotools():
    piece = read(MASKED, BOTH, BOX)
    assert piece.by_mask
    assert piece.areas.tolist() == [GRID.sum(), GRID.sum(), 12]
    later = read(BOTH, before=piece, first=3)
    assert later.by_mask
    assert later.areas.tolist() == [GRID.sum()]
    assert not read(MASKED, before=read(BOTH), first=1).by_mask


@pytest.mark.parametrize(
    ("content", "masks", "count"),
    [
        ((BOTH, BOTH), None, 2),
        ((BOTH, BOTH), True, 2),
        ((BOTH, BOTH), False, None),
        ((BOTH, BOX), None, None),
        ((BOX, {**BOX, "segmentation": []}), None, None),
    ],
)
def test_masks_are_kept_if_they_are_wanted_or_all_have_one(content, masks, count):
    piece = read(*content, masks=masks)
    assert (None if piece.masks is None else len(piece.masks)) == count
    for mask in piece.masks or ():
        assert np.array_equal(mask_utils.decode(mask), GRID)
    assert piece.masked.tolist() == ["counts" in d.get("segmentation", []) for d in content]


def test_wanted_masks_must_be_there():
    with pytest.raises(MaskError, match="a segmentation in detection number 8, but got None"):
        read(BOTH, BOX, masks=True, first=7)


def test_empty_masks_are_told_from_keys_that_are_not_there():
    assert not read(BOX, BOTH).empty_masks
    assert read(BOX, {**BOX, "segmentation": None}).empty_masks


def test_a_broken_mask_leaves_a_way_on_only_where_there_are_boxes():
    broken = {"size": [10, 20], "counts": [3]}
    with pytest.raises(MaskError, match="detection number 1"):
        read(BOTH, {**BOTH, "segmentation": broken})
    read(BOTH, {**BOTH, "segmentation": broken}, masks=False)
    with pytest.raises(ValueError) as caught:
        read(BOTH, {**MASKED, "segmentation": broken}, masks=False)
    assert not isinstance(caught.value, MaskError)


def test_none():
    piece = read()
    assert piece.boxes.shape == (0, 4)
    assert piece.masks == []
    assert not piece.by_mask


def typed(*content, masks=None, before=None):
    """The typed columns of a file; None where it has to be read the other way."""
    for record in RECORDS:
        try:
            records = msgspec.json.decode(json.dumps(content), type=list[record])
        except msgspec.ValidationError:
            continue
        return typed_detections(records, GROUND_TRUTH, masks, before)
    return None


FLAT = {"size": [20, 10], "counts": MASK["counts"]}
OTHER_BOX = {**BOX, "image_id": 9, "score": 1, "bbox": [0, 0, 0, 2.5]}


@pytest.mark.parametrize("masks", [None, True, False])
@pytest.mark.parametrize(
    ("content", "good"),
    [
        ([BOX, OTHER_BOX], "boxes"),
        ([BOTH, {**OTHER_BOX, "segmentation": {**MASK, "more": 1}}], "masks"),
        ([BOTH, BOX], "neither"),
        ([BOX, {**BOX, "segmentation": None}], "neither"),
        ([MASKED], "neither"),
        ([{**BOTH, "segmentation": {"size": [10, 20], "counts": [200]}}], "neither"),
        ([{**BOTH, "segmentation": [[0, 0, 5, 0, 5, 5]]}], "neither"),
        ([BOTH, {**BOTH, "segmentation": FLAT}], "without masks"),
        ([BOTH, {**BOTH, "segmentation": {**MASK, "counts": "abc"}}], "without masks"),
        ([BOTH, {**BOTH, "segmentation": {**MASK, "counts": "\u20ac"}}], "without masks"),
        ([BOTH, {**BOTH, "segmentation": {**MASK, "size": [10, 0]}}], "neither"),
        ([BOTH, {**BOTH, "segmentation": {**MASK, "size": [1 << 31, 1 << 31]}}], "without masks"),
        ([BOTH, {**BOTH, "segmentation": {**MASK, "size": [10, 20, 1]}}], "neither"),
        ([BOTH, {**BOTH, "score": True}], "neither"),
        ([BOTH, {**BOTH, "category_id": 50}], "none"),
        ([{**BOTH, "bbox": [1, 2, -3, 4]}], "none"),
    ],
)
def test_typed_columns_are_those_of_the_other_reader(content, good, masks):
    piece = typed(*content, masks=masks)
    taken = {"boxes": masks is not True, "masks": True, "without masks": masks is False}
    assert (piece is not None) == taken.get(good, False)
    if piece is None:
        return
    wanted = read(*content, masks=masks)
    for name in ("known", "image_idx", "labels", "boxes", "scores", "masked", "areas"):
        assert np.array_equal(getattr(piece, name), getattr(wanted, name)), name
    assert (piece.masks or None) == (
        [{"size": m["size"], "counts": m["counts"]} for m in wanted.masks] if wanted.masks else None
    )
    assert (piece.by_mask, piece.empty_masks) == (wanted.by_mask, wanted.empty_masks)


def test_where_masks_are_the_sizes_typed_columns_are_left_to_the_other_reader():
    assert typed(BOTH, before=read(MASKED)) is None
    assert typed(BOX, before=read(MASKED)).by_mask
