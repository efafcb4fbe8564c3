"""Values of annotation files, and the ledger."""

import pytest

from corrlight.datasets.records import Ledger, RecordError, entry, number, pairs


@pytest.mark.parametrize("value", [3, 3.0, "3", " 3.0\n"])
def test_numbers(value):
    assert number(value, "x") == 3


@pytest.mark.parametrize("value", [None, True, "", "a", "nan", float("inf"), 10**400, [3], "1e10"])
def test_no_numbers(value):
    with pytest.raises(RecordError, match=r"x is .*, not a number"):
        number(value, "x")


def test_entries_and_points():
    assert entry({"a": "b"}, "a", str) == "b"
    assert pairs([[1, "2"], (3, 4)], "p") == [(1, 2), (3, 4)]
    for wrong in ({}, {"a": 3}, [], None):
        with pytest.raises(RecordError, match=r"^a is"):
            entry(wrong, "a", str)
    for wrong in (3, [3], [[1, 2, 3]]):
        with pytest.raises(RecordError, match="not a list of points"):
            pairs(wrong, "p")


def test_ledger_counts_and_remembers_the_first():
    ledger = Ledger()
    ledger.drop("reason", "a")
    ledger.drop("reason", "b", 2)
    ledger.change("nothing", "a", 0)
    ledger.note("x")
    ledger.note("x")
    assert (ledger.left_out["reason"].count, ledger.left_out["reason"].first) == (3, "a")
    assert ledger.changed == {}
    assert ledger.notes == ["x"]
    with ledger.record("file"):
        raise RecordError("why")
    assert ledger.problems == ["file: why"]
    with pytest.raises(KeyError), ledger.record("file"):
        raise KeyError
