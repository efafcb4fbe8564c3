"""Values of JSON records to arrays."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrlight.coco.values import floats, found_at, is_given, whole_numbers


@pytest.mark.parametrize("value", [None, [], {}, ""])
def test_what_exporters_write_for_none_is_not_given(value):
    assert not is_given(value)


@pytest.mark.parametrize("value", [0, 0.0, False, [[]], [0], {"size": None}, " "])
def test_falsy_values_and_broken_ones_are_given(value):
    assert is_given(value)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(-50, 50)), st.lists(st.integers(-60, 60)))
def test_places_are_those_of_a_dictionary(known, wanted):
    ascending = sorted(known)
    place = {value: k for k, value in enumerate(ascending)}
    found = found_at(np.array(ascending, np.int64), np.array(wanted, np.int64))
    assert found.tolist() == [place.get(value, -1) for value in wanted]


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        (3, 3),
        (-7, -7),
        (3.0, 3),
        (-0.0, 0),
        ((1 << 63) - 1, (1 << 63) - 1),
        (-(1 << 63), -(1 << 63)),
        (1 << 63, None),
        (2.0**53, None),  # also what 2 ** 53 + 1 is written as
        (3.5, None),
        (math.nan, None),
        (math.inf, None),
        (True, None),
        ("3", None),
        (None, None),
        ([3], None),
    ],
)
def test_whole_numbers(value, whole):
    for others in ([], [5], ["x"]):
        numbers, good = whole_numbers([*others, value])
        assert numbers.dtype == np.int64
        assert good[-1] == (whole is not None)
        assert numbers[-1] == (whole or 0)


@pytest.mark.parametrize(
    ("text", "number", "is_number"),
    [
        ("1.5", 1.5, True),
        ("-3", -3.0, True),
        ("1e308", 1e308, True),
        ("1e400", None, True),
        ("NaN", None, True),
        ("-Infinity", None, True),
        ("1" + 400 * "0", None, True),
        ("true", None, False),
        ("null", None, False),
        ('"1.5"', None, False),
        ("[1.5]", None, False),
    ],
)
def test_floats_tell_what_is_no_number_from_what_is_not_finite(text, number, is_number):
    for others in ([], [2], ["x"]):
        array, no_number, not_finite = floats([*others, json.loads(text)])
        assert array.dtype == np.float64
        assert no_number[-1] == (not is_number)
        assert not_finite[-1] == (is_number and number is None)
        np.testing.assert_equal(array[-1], math.nan if number is None else number)


def test_columns_of_nothing():
    assert found_at(np.zeros(0), np.array([1, 2])).tolist() == [-1, -1]
    assert [len(column) for column in (*floats([]), *whole_numbers([]))] == [0] * 5
