"""Boxes against their images: what is of no use, what stops a training, what it looks like."""

import numpy as np
import pytest

from corrlight.coco.annotation_file.annotations import AnnotationList
from corrlight.coco.annotation_file.boxes import check_boxes
from corrlight.coco.findings import Findings
from corrlight.coco.kinds import INVALID_BOXES


def checked(boxes, size=(30, 40), **columns):
    """Return which boxes are of no use, and the findings about boxes and areas."""
    listed = AnnotationList(Findings(), masks=False, keep=False)
    records = [
        {"id": k, "image_id": 0, "category_id": 0, "bbox": box, "iscrowd": 0, "area": 9}
        | {key: values[k] for key, values in columns.items()}
        for k, box in enumerate(boxes)
    ]
    listed.add(records, 0)
    invalid = check_boxes(listed, np.tile([size], (len(boxes), 1)))
    return invalid.tolist(), listed.findings


def test_sound_boxes_are_silent():
    invalid, findings = checked([[0, 0, 40, 30], [39, 29, 1, 1], [-1, -1, 42, 32]])
    assert invalid == [False] * 3
    assert not len(findings)


@pytest.mark.parametrize(
    ("box", "kind", "line"),
    [
        ([1, 2, 3], "no_box", "bbox [1, 2, 3] is not [x, y, width, height]"),
        ([1, 2, "3", 4], "box_number", "has a value that is no finite number"),
        ([1, 2, 1e9, 4], "huge_box", "bbox [1, 2, 1000000000, 4] has a value that is no finite"),
        ([1, 2, -3, 4], "negative_box", "bbox [1, 2, -3, 4] has no positive width and height"),
        ([1, 2.5, 3, 0], "empty_box", "bbox [1, 2.5, 3, 0] has no positive width and height"),
        ([40, 2, 3, 4], "outside_box", "bbox [40, 2, 3, 4] lies outside its image of 40x30"),
        ([2, -9, 3, 9], "outside_box", "bbox [2, -9, 3, 9] lies outside its image of 40x30"),
    ],
)
def test_a_box_of_no_use_has_one_finding_that_stops_a_training(box, kind, line):
    invalid, findings = checked([[1, 2, 3, 4]] * 40 + [box])
    assert invalid == [False] * 40 + [True]
    assert kind in INVALID_BOXES
    assert [f.kind for f in findings.errors("train")] == [kind]
    assert line in findings[kind].lines[0]
    # What leaves its image is also counted as such, which a share this small makes a note.
    assert {f.kind for f in findings} <= {kind, "leaving_box"}


def test_without_a_size_of_the_image_nothing_lies_outside():
    assert checked([[400, 2, 3, 4]], size=(0, 0))[0] == [False]


@pytest.mark.parametrize(("area", "said"), [(-3, "-3"), (2.5, None), (0, None), (1e18, "1e+18")])
def test_areas(area, said):
    invalid, findings = checked([[1, 2, 3, 4]], area=[area])
    assert invalid == [False]
    assert ("negative_area" in findings) == (said is not None)
    if said is not None:
        assert f"area is {said}" in findings["negative_area"].lines[0]


@pytest.mark.parametrize(
    ("leaving", "of", "stops"), [(2, 4, False), (3, 30, False), (3, 29, True), (30, 30, True)]
)
def test_more_than_a_tenth_that_leave_their_images_stop_a_training(leaving, of, stops):
    boxes = [[30, 20, 15, 15]] * leaving + [[10, 10, 5, 5]] * (of - leaving)
    invalid, findings = checked(boxes)
    assert not any(invalid)
    finding = findings["leaving_box"]
    assert finding.count == leaving
    assert finding.share == pytest.approx(leaving / of)
    assert ("train" in finding.stops) == stops
    assert finding.level("measure") != "error"


def test_corners_read_as_sizes_are_told():
    corners = [[x, y, x + 12.0, y + 9.0] for x in range(5, 25, 4) for y in range(5, 20, 5)]
    _, findings = checked(corners)
    assert findings["leaving_box"].said().endswith("[5, 15, 17, 24] in 40x30)")
    assert "they look like corners [x1, y1, x2, y2]" in findings["leaving_box"].said()


def test_crowds_do_not_count():
    boxes = [[30, 20, 15, 15]] * 9 + [[10, 10, 5, 5]]
    _, findings = checked(boxes, iscrowd=[1] * 9 + [0])
    assert "leaving_box" not in findings
    assert "leaving_box" not in checked([], size=(30, 40))[1]


def test_narrow_boxes_and_areas_of_0_stop_a_training_only_if_nothing_else_is_there():
    narrow, empty, sound = ([5, 5, 0.5, 9], 9), ([5, 5, 9, 9], 0), ([5, 5, 9, 9], 9)
    for kind, odd in (("narrow_box", narrow), ("area_0", empty)):
        for others, stops in (([sound], False), ([], True)):
            boxes, areas = zip(odd, odd, *others, strict=True)
            invalid, findings = checked(boxes, area=areas)
            assert not any(invalid)
            assert findings[kind].count == 2
            assert (findings[kind].level("train") == "error") == stops
    # An area that the file does not give is width times height.
    assert "area_0" not in checked([[5, 5, 9, 9]], area=[None])[1]
