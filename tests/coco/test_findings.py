"""What is wrong in a file: counted on, told in one line, an error for what it stops."""

import pytest

from corrlight.coco.findings import (
    CocoFormatError,
    Example,
    Findings,
    MaskError,
    plural,
    summarize,
)


def example(row):
    return Example(
        row=row, name=f"annotation {row}", text="is odd", expected="an even", got=str(row)
    )


def findings(kind="iscrowd", rows=(3,), **how):
    found = Findings()
    found.add(kind, "annotation", rows, example, **how)
    return found


def test_a_kind_is_counted_on_through_the_pieces_and_keeps_its_first_records():
    asked = []

    def remembered(row):
        asked.append(row)
        return example(row)

    found = Findings()
    for first in range(0, 60, 6):
        found.add("iscrowd", "annotation", range(first, first + 6), remembered)
    found.add("iscrowd", "detection", [1], remembered)  # of another list: a finding of its own
    found.add("area", "annotation", [], remembered)
    assert len(found) == 2
    assert found["iscrowd"].count == 60
    assert [e.row for e in found["iscrowd"].examples] == list(range(20))
    assert asked == [*range(20), 1]
    assert found.count("iscrowd", "area") == 61
    assert "area" not in found
    with pytest.raises(KeyError):
        found["area"]


@pytest.mark.parametrize(
    ("kind", "how", "measure", "train"),
    [
        ("iscrowd", {}, "error", "error"),
        ("no_iscrowd", {}, "warning", "warning"),
        ("empty_box", {}, "note", "error"),
        ("no_id", {}, "note", "warning"),
        ("leaving_box", {"share": 0.0099}, "note", "note"),
        ("leaving_box", {"share": 0.01}, "warning", "warning"),
        ("leaving_box", {"share": 0.5, "stops": ("train",)}, "warning", "error"),
    ],
)
def test_how_bad_it_is_depends_on_the_purpose(kind, how, measure, train):
    found = findings(kind, **how)
    assert (found[kind].level("measure"), found[kind].level("train")) == (measure, train)
    assert bool(found.errors("train")) == (train == "error")
    assert found.errors("train", allowed=[kind]) == []


@pytest.mark.parametrize(
    ("rows", "how", "line"),
    [
        ([3], {}, "1 annotation whose iscrowd is not 0 or 1 (first: annotation 3: is odd)"),
        (
            range(1200),
            {"share": 0.1234, "cause": "it looks like x"},
            "1,200 annotations (12 %) whose iscrowd is not 0 or 1; it looks like x "
            "(first: annotation 0: is odd)",
        ),
        (
            [3],
            {"share": 0.996},
            "1 annotation (100 %) whose iscrowd is not 0 or 1 (first: annotation 3: is odd)",
        ),
    ],
)
def test_a_finding_in_one_line(rows, how, line):
    finding = findings(rows=rows, **how)["iscrowd"]
    assert finding.said() == line
    assert finding.lines == ([line] if how else ["annotation 3: is odd"])


def test_the_error_of_a_reader_that_measures_names_the_first_record():
    with pytest.raises(ValueError) as caught:
        findings(rows=[5, 7, 9]).raise_first("measure")
    assert str(caught.value) == ("Expected an even annotation number 5, but got 5 (and in 2 more).")
    with pytest.raises(MaskError):
        findings("broken_mask").raise_first("measure")
    findings("broken_mask").raise_first("measure", allowed=["broken_mask"])
    findings("empty_box").raise_first("measure")  # stops a training alone


def test_the_error_of_a_training_counts_everything_and_ends_with_the_way_out():
    found = findings("negative_box", rows=range(1000))
    found.add("no_iscrowd", "annotation", range(7), example)  # stops nothing
    found.add("leaving_box", "annotation", range(7), example, stops=("train",), share=0.2)
    with pytest.raises(CocoFormatError) as caught:
        found.raise_all("train", "a.json")
    message = str(caught.value)
    shown = "; ".join(f"annotation {row}: is odd" for row in range(5))
    assert message == (
        "Expected a.json to be a valid COCO annotation file, but found 1,001 problems: "
        f"{shown}; and 996 more. `data.invalid_boxes=drop` leaves such annotations out of training."
    )
    assert len(caught.value.problems) == 21  # 20 records, and the boxes that leave as one
    found.raise_all("train", "a.json", allowed=["negative_box", "leaving_box"])


def test_what_is_wrong_with_the_file_as_a_whole_is_all_that_is_said():
    found = findings("negative_box")
    found.add_file("no_coco", "no COCO file: it is a list", "a.json to hold an object", "a list")
    with pytest.raises(CocoFormatError, match=r"found 1 problem: no COCO file: it is a list\.$"):
        found.raise_all("train", "a.json")
    assert found["no_coco"].said() == "no COCO file: it is a list"
    assert str(found["no_coco"].error()) == "Expected a.json to hold an object, but got a list."


def test_nothing_found_is_no_error():
    Findings().raise_all("train", "a.json")
    Findings().raise_first("measure")
    assert list(Findings()) == []


def test_a_summary_and_the_plural():
    error = summarize("data", ["a", "b"], count=9, way_out="Mend it.")
    assert str(error) == "Expected data, but found 9 problems: a; b; and 7 more. Mend it."
    assert error.problems == ("a", "b")
    assert [plural(n) for n in ("image", "category")] == ["images", "categories"]
