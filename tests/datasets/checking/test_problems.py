import pytest

from corrlight.coco.annotation_file.table import annotation_table
from corrlight.coco.kinds import KINDS
from corrlight.datasets.checking.problems import (
    FIXED,
    Problem,
    counted,
    of_finding,
    sorted_problems,
)
from tests.datasets.checking.small_set import content

OWN = {"missing_picture", "damaged_picture", "picture_size", "shared_picture", "class_lists",
       "class_order"}  # fmt: skip


def problem(level, kind="x"):
    return Problem(kind=kind, level=level, where="train", text=kind)


def test_the_worst_come_first_and_keep_their_order():
    given = [problem("note"), problem("error", "a"), problem("warning"), problem("error", "b")]
    assert [p.level for p in sorted_problems(given)] == ["error", "error", "warning", "note"]
    assert [p.kind for p in sorted_problems(given)][:2] == ["a", "b"]


def test_what_fix_mends_is_a_known_kind():
    assert set(FIXED) - set(KINDS) == OWN


def test_a_finding_keeps_count_records_and_way_out():
    data = content(1, 4)
    for record in data["annotations"][:7]:
        record["bbox"][2] = -1
    (finding,) = [f for f in annotation_table(data).findings if f.kind == "negative_box"]
    found = of_finding(finding, "train")
    assert (found.kind, found.level, found.count, len(found.examples)) == (
        *("negative_box", "error", 7),
        7,
    )
    assert found.text == "7 annotations with a bbox of negative size"
    assert "data.invalid_boxes=drop" in found.ways_out
    assert "--fix OUT: they are left out" in found.ways_out


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [(1, "picture", "1 picture"), (2000, "picture", "2,000 pictures"), (2, "class", "2 classes"),
     (1, "class", "1 class"), (2, "category", "2 categories")],
)  # fmt: skip
def test_counts_in_words(count, noun, text):
    assert counted(count, noun) == text
