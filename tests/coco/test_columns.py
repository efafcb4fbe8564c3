"""Lists of records to columns: what is sound is kept, what is not is named by its place."""

import math

import numpy as np
import pytest

from corrlight.coco.columns import Records
from corrlight.coco.findings import Findings


def collected(content, first=0):
    findings = Findings()
    return Records(content, "annotation", first, findings), findings


def found(findings):
    return {f.kind: (f.count, [e.row for e in f.examples]) for f in findings}


def test_numbers_keep_what_is_sound_and_count_the_rest_by_kind():
    content = [{"score": v} for v in (0.5, 1, "0.5", True, None, math.inf)]
    records, findings = collected([*content, {}], first=100)
    np.testing.assert_array_equal(records.numbers("score", "score"), [0.5, 1, *[np.nan] * 5])
    assert found(findings) == {"score": (4, [102, 103, 104, 105]), "missing": (1, [106])}


def test_a_number_may_be_allowed_to_lack():
    records, findings = collected([{"area": 4}, {"area": None}, {}, {"area": math.nan}])
    areas = records.numbers("area", "area", missing=-1.0, rule="a finite number >= 0")
    np.testing.assert_array_equal(areas, [4, -1, -1, np.nan])
    (only,) = findings
    assert only.lines == ["annotations[3]: area is nan, not a finite number >= 0"]


def test_boxes_hold_nan_where_they_are_no_boxes():
    wrong = [None, [1, 2, 3], "1 2 3 4", [1, 2, "3", None], [1, 2, math.inf, 4], {}]
    records, findings = collected([{"bbox": b} for b in ([1, 2, 3, 4.5], (0, 0, 0, 0), *wrong)])
    boxes = records.boxes()
    np.testing.assert_array_equal(boxes[:2], [[1, 2, 3, 4.5], [0, 0, 0, 0]])
    assert np.isnan(boxes[2:]).all()
    assert found(findings) == {"no_box": (4, [2, 3, 4, 7]), "box_number": (2, [5, 6])}


def test_of_a_box_with_several_faults_the_first_is_told():
    with pytest.raises(ValueError, match=r"^Expected a number as bbox of .* 0, but got 'x'\.$"):
        Records([{"bbox": [1, "x", "y", 4]}], "detection").boxes()


def test_boxes_of_negative_size_are_reported_and_kept():
    records, findings = collected([{"id": 8, "bbox": [5, 5, -1, 3]}])
    assert records.boxes().tolist() == [[5, 5, -1, 3]]
    assert findings["negative_box"].examples[0].name == "annotation 8"


def test_boxes_may_be_optional_one_by_one():
    records, findings = collected([{}, {}, {"bbox": [0, 0, 1, 1]}])
    records.boxes(optional=np.array([True, False, True]))
    assert found(findings) == {"no_box": (1, [1])}


def test_flags_are_0_1_or_their_equals():
    content = [{"iscrowd": v} for v in (0, 1, 0.0, 1.0, False, True, None, 2, "1", [1], 0.5)]
    records, findings = collected([*content, {}])
    expected = [False, True] * 3 + [False] * 6
    assert records.flags("iscrowd", "iscrowd").tolist() == expected
    assert found(findings) == {"iscrowd": (4, [7, 8, 9, 10])}


def test_ids_tell_strings_from_what_is_none_at_all():
    records, findings = collected([{"id": 4}, {"id": "5"}, {"id": 6.5}, {}, {"id": 7.0}])
    ids, good = records.ids()
    assert ids.tolist() == [4, 0, 0, 0, 7]
    assert good.tolist() == [True, False, False, False, True]
    assert found(findings) == {"string_id": (1, [1]), "id": (2, [3, 2])}
    records, findings = collected([{"id": 4}, {}])
    assert records.ids(optional=True)[1].tolist() == [True, False]
    assert not len(findings)


def test_references_become_places():
    content = [{"image_id": v} for v in (30, 10, 11, "10", 30.0)]
    records, findings = collected([*content, {}])
    assert records.places("image_id", np.array([10, 20, 30])).tolist() == [2, 0, -1, -1, 2, -1]
    assert found(findings) == {"missing": (1, [5]), "unknown_image_id": (2, [3, 2])}
    assert [line.partition(": ")[2] for line in findings["unknown_image_id"].lines] == [
        "unknown image_id '10' (a string; ids of COCO files are numbers)", "unknown image_id 11",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"but got '10' \(a string; ids of COCO files are numb"):
        Records([content[3]], "detection").places("image_id", np.array([10]))


def test_of_what_is_no_object_nothing_else_is_said():
    records, findings = collected([{"id": 1, "score": 1}, None, [3], 4])
    records.ids()
    records.numbers("score", "score")
    records.boxes()
    assert found(findings) == {"no_object": (3, [1, 2, 3]), "no_box": (1, [0])}
    assert len(records) == 4
    assert findings["no_object"].lines[0] == "annotations[1]: a NoneType instead of an object"


def test_without_findings_the_first_fault_is_the_error():
    records = Records([{"score": 1}, {"score": None}, {"score": "2"}], "detection", first=40)
    with pytest.raises(ValueError) as caught:
        records.numbers("score", "score")
    message = "Expected a number as score of detection number 41, but got None."
    assert str(caught.value) == message
    with pytest.raises(ValueError, match=r"^Expected an object as detection number 1, but got 3"):
        Records([{}, 3], "detection")


def test_no_records():
    records, findings = collected([])
    assert records.boxes().shape == (0, 4)
    columns = (records.numbers("a", "area"), records.flags("b", "iscrowd"), *records.ids())
    assert [len(c) for c in columns] == [0] * 4
    assert not len(findings)
