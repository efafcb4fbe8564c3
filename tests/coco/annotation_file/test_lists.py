"""What the lists have in common: ids, repeated ones, faults by place in the list."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrlight.coco.annotation_file.lists import RecordList, joined
from corrlight.coco.findings import Findings


def filled(records, piece=2, **options):
    listed = RecordList("category", Findings())
    for first in range(0, len(records), piece):
        listed.records(records[first : first + piece], first, **options)
    return listed


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5) | st.sampled_from(["x", None, 1.5]), max_size=12))
def test_repeated_ids_are_those_that_an_earlier_record_has(ids):
    listed = filled([{"id": v} for v in ids])
    seen, again = set(), []
    for row, value in enumerate(ids):
        if type(value) is int:
            if value in seen:
                again.append(row)
            seen.add(value)
    assert listed.repeated().tolist() == again
    assert listed.good.tolist() == [type(v) is int for v in ids]
    assert listed.ids.tolist() == [v if type(v) is int else 0 for v in ids]


def test_a_list_is_whole_while_every_record_has_an_id_of_its_own():
    assert filled([{"id": 1}, {"id": 2}]).whole
    assert not filled([{"id": 1}, {}, {"id": 3}]).whole
    assert not filled([{"id": 1}, {}], optional_id=True).whole
    twice = filled([{"id": 1}, {"id": 2}, {"id": 1}])
    assert twice.whole  # nothing is said before the end
    twice.report_repeated(twice.repeated())
    assert not twice.whole
    (finding,) = twice.findings
    assert finding.lines == ["category 1: duplicate id"]
    message = r"^Expected every id once, but 1 comes again in category number 2\.$"
    with pytest.raises(ValueError, match=message):
        raise finding.error()


def test_faults_are_named_by_id_or_by_place():
    listed = filled([{"id": 8}, {"id": "x"}, {"id": 9}])
    listed.fault("area", [], "", lambda row: "", lambda row: "")
    assert "area" not in listed.findings
    listed.fault(
        *("area", [1, 2], lambda row: f"{row} of", lambda row: f"odd {row}", lambda row: [row]),
        share=0.5,
        stops=("train",),
    )
    finding = listed.findings["area"]
    assert [e.line for e in finding.examples] == ["categories[1]: odd 1", "category 9: odd 2"]
    assert [(e.expected, e.got) for e in finding.examples] == [("1 of", "[1]"), ("2 of", "[2]")]
    assert (finding.share, finding.stops) == (0.5, {"train"})


def test_pieces_are_joined():
    assert joined([np.array([1, 2]), np.array([3])]).tolist() == [1, 2, 3]
    assert joined([]).tolist() == []
