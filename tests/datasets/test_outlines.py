"""Shapes against pycocotools and formulas typed out again."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from corrlight.datasets.outlines import (
    from_bitmap,
    from_corners,
    from_ellipse,
    from_polygon,
    from_turned_box,
    joined,
    pasted,
)

SIZE = (60, 80)


def drawn(shape):
    return mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(shape.segmentation, *SIZE)))


@given(st.floats(-720, 720), st.floats(0.5, 20), st.floats(0.5, 20))
def test_turning_keeps_area_and_sides(degrees, width, height):
    shape = from_turned_box((40.0, 30.0), width, height, degrees)
    assert shape.area == pytest.approx(width * height, abs=1e-3)
    a = math.radians(degrees)
    around = abs(width * math.cos(a)) + abs(height * math.sin(a))
    assert shape.box[2] == pytest.approx(around, abs=1e-4)


@given(st.floats(0, 360), st.floats(1, 20), st.floats(1, 20))
def test_box_of_an_ellipse_is_around_its_points(degrees, a, b):
    shape = from_ellipse((40.0, 30.0), (a, b), degrees)
    t, turn = np.linspace(0, 2 * np.pi, 20000), math.radians(degrees)
    x = 40 + a * np.cos(t) * math.cos(turn) - b * np.sin(t) * math.sin(turn)
    y = 30 + a * np.cos(t) * math.sin(turn) + b * np.sin(t) * math.cos(turn)
    expected = (x.min(), y.min(), np.ptp(x), np.ptp(y))
    np.testing.assert_allclose(shape.box, expected, atol=1e-4)
    assert len(shape.segmentation[0]) == 128


def test_polygons_are_drawn_about_as_large_as_they_say():
    shape = from_polygon([(5, 5), (65.5, 8), (50, 50), (9, 41)])
    assert abs(drawn(shape).sum() - shape.area) < 30
    assert from_polygon([(5, 5), (9, 41), (50, 50), (65.5, 8)]).area == shape.area


def test_bitmaps_go_through_run_lengths():
    bitmap = np.random.default_rng(0).random(SIZE) > 0.9
    shape = from_bitmap(bitmap)
    assert (mask_utils.decode(shape.segmentation) == bitmap).all()
    assert shape.area == bitmap.sum()
    assert isinstance(shape.segmentation["counts"], str)
    assert from_bitmap(np.zeros(SIZE)).box[2:] == (0, 0)


def test_small_bitmaps_are_cut_at_the_border():
    ones = np.ones((4, 5))
    assert pasted(ones, -2, -1, (10, 12)).sum() == 9
    assert pasted(ones, 10, 8, (10, 12)).sum() == 4
    assert pasted(ones, 30, 8, (10, 12)).sum() == 0
    assert pasted(ones * 255, 3, 2, (10, 12))[2:6, 3:8].tolist() == ones.tolist()


def test_joining():
    square = from_polygon([(0, 0), (4, 0), (4, 4), (0, 4)])
    other = from_polygon([(2, 2), (6, 2), (6, 6), (2, 6)])
    both = joined([square, other], SIZE)
    assert (both.box, both.area) == ((0, 0, 6, 6), 28)
    assert both.segmentation == [*square.segmentation, *other.segmentation]
    bitmap = from_bitmap(pasted(np.ones((2, 2)), 10, 10, SIZE))
    mixed = joined([square, bitmap, from_corners(20, 20, 22, 23)], SIZE)
    assert (mixed.box, mixed.area) == ((0, 0, 22, 23), 16 + 4 + 6)
    boxes = joined([from_corners(0, 0, 2, 2), from_corners(4, 4, 6, 8)], SIZE)
    assert (boxes.box, boxes.area, boxes.segmentation) == ((0, 0, 6, 8), 48, None)
