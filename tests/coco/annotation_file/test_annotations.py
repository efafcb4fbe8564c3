"""Annotations: columns of all pieces, and what they refer to."""

import numpy as np
import pytest

from corrlight.coco.annotation_file.annotations import AnnotationList
from corrlight.coco.findings import Findings

GOOD = {"id": 1, "image_id": 30, "category_id": 2, "bbox": [1, 2, 3, 4], "area": 5, "iscrowd": 1}


def filled(*records, piece=2, masks=False, keep=False):
    listed = AnnotationList(Findings(), masks, keep)
    for first in range(0, len(records), piece):
        listed.add(records[first : first + piece], first)
    return listed


def kinds(listed):
    return {f.kind: f.count for f in listed.findings}


@pytest.mark.parametrize("piece", [1, 2, 10])
def test_columns_are_those_of_all_pieces(piece):
    plain = {k: GOOD[k] for k in ("image_id", "category_id", "bbox")}
    listed = filled(GOOD, {**plain, "id": 2}, plain, piece=piece)
    assert listed.column("boxes").tolist() == [[1, 2, 3, 4]] * 3
    np.testing.assert_array_equal(listed.column("areas"), [5, np.nan, np.nan])
    assert listed.column("crowd").tolist() == [True, False, False]
    assert listed.column("crowd_given").tolist() == [True, False, False]
    assert listed.ids.tolist() == [1, 2, 0]
    assert kinds(listed) == {"no_area": 2, "no_iscrowd": 2, "no_id": 1}
    assert [f.level("measure") for f in listed.findings] == [
        {"no_id": "note"}.get(f.kind, "warning") for f in listed.findings
    ]


def test_places_of_images_in_any_order():
    known = np.array([30, 10, 20])
    listed = filled(*({**GOOD, "id": k, "image_id": v} for k, v in enumerate([20, 30, 10, 11])))
    assert listed.places("image_id", known, whole=True).tolist() == [2, 0, 1, -1]
    (finding,) = listed.findings
    assert finding.lines == ["annotation 3: unknown image_id 11"]


def test_what_is_unknown_is_not_said_where_the_other_list_is_broken():
    listed = filled({**GOOD, "image_id": 11})
    assert listed.places("image_id", np.array([30]), whole=False).tolist() == [-1]
    assert kinds(listed) == {}


def test_what_is_no_id_is_said_once():
    listed = filled({**GOOD, "image_id": "30"}, {**GOOD, "image_id": None})
    assert listed.places("image_id", np.array([0, 30]), whole=True).tolist() == [-1, -1]
    assert kinds(listed) == {"unknown_image_id": 2}


def test_no_images_at_all():
    listed = filled(GOOD)
    assert listed.places("image_id", np.zeros(0, np.int64), whole=True).tolist() == [-1]
    assert filled().places("image_id", np.array([30]), whole=True).tolist() == []
    assert filled().column("boxes").shape == (0, 4)


def test_segmentations_are_kept_as_they_are_and_checked_at_the_end():
    runs, polygon = {"size": [5, 6], "counts": [30]}, [[1, 1, 4, 1, 4, 4]]
    records = [{**GOOD, "id": k, "segmentation": s} for k, s in enumerate([runs, polygon, None])]
    listed = filled(*records, masks=True, keep=True)
    assert listed.segmentations == [runs, polygon, None]
    assert kinds(listed) == {"no_mask": 1}
    listed.finish(np.array([[6, 5], [0, 0], [6, 5]]), np.ones(3, dtype=bool))
    assert kinds(listed) == {"no_mask": 1, "mask_size": 1, "polygon_size": 1}
    assert filled(*records).segmentations is None
    assert kinds(filled(*records)) == {}


def test_ids_that_come_again_are_reported_at_the_end():
    listed = filled(GOOD, {**GOOD, "id": 2}, GOOD)
    assert kinds(listed) == {}
    listed.finish(np.ones((3, 2)), np.ones(3, dtype=bool))
    assert kinds(listed) == {"repeated_id": 1}


def test_a_mask_without_a_box_gives_the_box_where_it_is_sound():
    polygon, runs = [[1, 1, 4, 1, 4, 4]], {"size": [5, 6], "counts": [5, 2, 23]}
    shapes = [polygon, runs, {**runs, "size": [6, 5]}, {**runs, "counts": [7]}, polygon, polygon]
    records = [{**GOOD, "id": k, "segmentation": s} for k, s in enumerate(shapes)]
    for record in records[:-1]:
        del record["bbox"]
    listed = filled(*records)
    sizes = np.array([[5, 6]] * 4 + [[0, 0]] + [[5, 6]])
    # The fourth one is broken, the third not its image's, the fifth of an image that is not there.
    by_mask = listed.finish(sizes, np.array([True, True, True, True, False, True]))
    assert by_mask.tolist() == [True, True, False, False, False, False]
    assert listed.column("boxes")[1].tolist() == [1, 0, 1, 2]
    assert listed.column("boxes")[5].tolist() == GOOD["bbox"]
    assert np.isnan(listed.column("boxes")[2:5]).all()
    assert kinds(listed) == {"mask_box": 2, "no_box": 2}
