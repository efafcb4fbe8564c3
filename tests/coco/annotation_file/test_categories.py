"""Categories: by ascending id, one that comes again as it is counts once."""

import json

import pytest

from corrlight.coco.annotation_file.categories import CategoryList, read_categories
from corrlight.coco.findings import Findings


def finished(*records, piece=2):
    listed = CategoryList(Findings())
    for first in range(0, len(records), piece):
        listed.add(records[first : first + piece], first)
    rows = listed.finish().tolist()
    return [(int(listed.ids[row]), listed.names[row]) for row in rows], listed


def found(listed):
    return {f.kind: f.lines for f in listed.findings}


def test_by_ascending_id():
    kept, listed = finished(
        {"id": 1000, "name": "owl"}, {"id": 0, "name": "cat"}, {"id": 7, "name": "dog"}
    )
    assert kept == [(0, "cat"), (7, "dog"), (1000, "owl")]
    assert found(listed) == {}
    assert listed.whole


@pytest.mark.parametrize("piece", [1, 5])
def test_one_that_comes_again_as_it_is_counts_once(piece):
    cat, dog = {"id": 2, "name": "cat"}, {"id": 1, "name": "dog"}
    kept, listed = finished(cat, dog, dict(cat), {**cat, "supercategory": "x"}, piece=piece)
    assert kept == [(1, "dog"), (2, "cat")]
    assert listed.findings["merged_category"].count == 2
    assert listed.findings["merged_category"].level("train") == "warning"
    assert listed.whole


def test_another_one_of_its_id_is_a_fault():
    _, listed = finished({"id": 2, "name": "cat"}, {"id": 2, "name": "emu"})
    assert found(listed) == {"repeated_id": ["category 2: duplicate id"]}
    assert not listed.whole


def test_equal_names_are_told_with_the_first_that_has_it():
    records = [{"id": 4, "name": "cat"}, {"id": 5, "name": "owl"}, {"id": 3, "name": "cat"}]
    kept, listed = finished(*records)
    assert kept == [(3, "cat"), (4, "cat"), (5, "owl")]
    assert found(listed) == {"repeated_name": ["category 3: same name 'cat' as category 4"]}


def test_without_a_name_the_id_stands_in_and_is_no_name_of_another():
    kept, listed = finished(
        {"id": 4}, {"id": 5, "name": ""}, {"id": 6, "name": ["x"]}, {"id": 7, "name": "4"}
    )
    assert [name for _, name in kept] == ["4", "", "['x']", "4"]
    assert list(found(listed)) == ["category_name"]
    assert listed.findings["category_name"].count == 3
    assert listed.findings["category_name"].level("measure") == "note"


def test_a_category_without_id_does_not_count():
    kept, listed = finished({"name": "cat"}, {"id": 5, "name": "owl"})
    assert kept == [(5, "owl")]
    assert not listed.whole


def test_none():
    kept, listed = finished()
    assert kept == []
    assert listed.whole


def test_of_a_file_that_may_hold_nothing_else(tmp_path):
    """As `corrlight convert --annotations` and guests read them: by the same rules."""
    file = tmp_path / "gt.json"
    cat, dog = {"id": 7, "name": "cat"}, {"id": 2, "name": "dog"}
    file.write_text(json.dumps({"categories": [cat, dog, dict(cat)], "annotations": "broken"}))
    assert read_categories(file) == {2: "dog", 7: "cat"}
    assert [*read_categories(file)] == [2, 7]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"categories": []}, "with id and name"),
        ({"categories": {"1": "cat"}}, "with id and name"),
        ({}, "with id and name"),
        ([], "with id and name"),
        ({"categories": [{"id": "1", "name": "cat"}]}, "a string, not an int.*without quotes"),
        ({"categories": [{"id": 1}]}, "name is None, not a name"),
        ({"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}]}, "same name 'cat'"),
        ({"categories": [{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}]}, "duplicate id"),
    ],
)
def test_categories_of_no_use_are_one_line(tmp_path, content, message):
    file = tmp_path / "gt.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as error:
        read_categories(file)
    assert "\n" not in str(error.value)
