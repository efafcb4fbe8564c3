"""Segmentations: checked by value, encoded as pycocotools does."""

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from corrlight.coco.columns import Records
from corrlight.coco.findings import Findings
from corrlight.coco.segmentations import check_masks, check_sizes, encode, has_mask

SQUARE = [2, 2, 6, 2, 6, 5, 2, 5]
GRID = np.zeros((10, 20), np.uint8, order="F")
GRID[2:5, 2:6] = 1
COMPRESSED = mask_utils.encode(GRID)
TEXT = {"size": [10, 20], "counts": COMPRESSED["counts"].decode()}
RUNS = {"size": [10, 20], "counts": [22, 3, 7, 3, 7, 3, 7, 3, 145]}


@pytest.mark.parametrize("shape", [[SQUARE], TEXT, RUNS, [SQUARE, [1, 1, 2, 2]]])
def test_every_form_is_encoded_to_the_same_mask(shape):
    assert np.array_equal(mask_utils.decode(encode(shape, 10, 20)), GRID)


def test_parts_of_a_polygon_are_joined():
    other = [10, 1, 14, 1, 14, 4]
    parts = mask_utils.frPyObjects([SQUARE, other], 10, 20)
    assert encode([SQUARE, other], 10, 20) == mask_utils.merge(parts)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ([SQUARE], True),
        (TEXT, True),
        ("broken", True),
        ([[1, 2, "3", 4]], True),
        (None, False),
        ([], False),
        ({}, False),
        ("", False),
        ([[]], False),
        ([[1, 2, 3, 4]], False),
        ([[1, 2], SQUARE], True),
    ],
)
def test_a_mask_is_there_if_it_covers_something_or_is_broken(shape, expected):
    assert has_mask({"segmentation": shape}) == expected
    assert not has_mask({})


def checked(shapes, rows=None):
    findings = Findings()
    records = Records([{"segmentation": s} for s in shapes], "annotation", 0, findings)
    return check_masks(records, rows).tolist(), findings


def test_sizes_of_sound_masks():
    sizes, findings = checked([[SQUARE], TEXT, RUNS])
    assert sizes == [[-1, -1], [10, 20], [10, 20]]
    assert not len(findings)


@pytest.mark.parametrize(
    ("shape", "kind", "text"),
    [
        (None, "no_mask", "is None, neither polygons nor run lengths"),
        ([], "no_mask", "is empty"),
        ([[1, 2, 3, 4]], "no_mask", "has a polygon that is not 3 or more pairs of numbers"),
        (
            [[1, 2, 3, 4, 5, 6, 7]],
            "broken_mask",
            "has a polygon that is not 3 or more pairs of numbers",
        ),
        ([[1, 2, 3, 4, 5, True]], "broken_mask", "has a polygon with a value that is no finite"),
        ([[1, 2, 3, 4, 5, np.nan]], "broken_mask", "has a polygon with a value that is no finite"),
        ([[np.nan, 2, 3, 4, 5, 6]], "broken_mask", "has a polygon with a value that is no finite"),
        ([[1, 2, 3, 4, 5, 2e9]], "broken_mask", "has a polygon with a value that is no finite"),
        (7, "broken_mask", "is 7, neither polygons nor run lengths"),
        ({"size": [2, 3]}, "broken_mask", "has no run lengths"),
        ({"size": [2.0, 3], "counts": [6]}, "broken_mask", "has the size [2.0, 3], not [height,"),
        ({"size": [0, 3], "counts": [0]}, "broken_mask", "has the size [0, 3]"),
        ({"size": [1 << 16] * 2, "counts": [1 << 32]}, "broken_mask", "has the size [65536, 65536"),
        ({"size": [2, 3], "counts": [7]}, "broken_mask", "has run lengths that do not add up"),
        ({"size": [2, 3], "counts": [7, -1]}, "broken_mask", "has run lengths that do not add up"),
        ({**TEXT, "size": [10, 21]}, "broken_mask", "has run lengths that are damaged or not tho"),
        ({**TEXT, "counts": "\x01"}, "broken_mask", "has run lengths that are damaged or not tho"),
    ],
)
def test_what_is_wrong_is_named_and_has_no_size(shape, kind, text):
    sizes, findings = checked([[SQUARE], shape, TEXT])
    assert sizes == [[-1, -1], [0, 0], [10, 20]]
    (finding,) = findings
    assert (finding.kind, finding.count) == (kind, 1)
    assert finding.lines[0].startswith(f"annotations[1]: segmentation {text}")


def test_rows_that_are_not_asked_for_are_not_looked_at():
    sizes, findings = checked([7, TEXT, 8], rows=[1])
    assert sizes == [[0, 0], [10, 20], [0, 0]]
    assert not len(findings)


def test_masks_have_the_size_of_their_image_and_polygons_need_one():
    mask_sizes = np.array([[10, 20], [20, 10], [-1, -1], [-1, -1], [10, 20], [0, 0]])
    image_sizes = np.array([[10, 20], [10, 20], [10, 20], [0, 0], [0, 0], [0, 0]])
    said = {}

    def fault(kind, rows, expected, text, got):
        assert callable(expected) == (kind == "mask_size")
        said[kind] = [(row, text(row), got(row)) for row in rows]

    check_sizes(mask_sizes, image_sizes, fault)
    assert said == {
        "mask_size": [(1, "segmentation has the size [20, 10], not [10, 20]", [20, 10])],
        "polygon_size": [
            (3, "segmentation is of polygons, but its image has no height and width", None)
        ],
    }
