"""How boxes lie in their pictures, box by box, and misreadings that are found again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrlight.coco.geometry import box_use, corners, likely_cause, odd_areas

RNG = np.random.default_rng(0)
SIZES = np.tile([[60, 90]], (300, 1))  # height, width


def inside(low=5.0):
    """Return 300 boxes ``x, y, width, height`` inside pictures of 90 x 60."""
    size = RNG.uniform(low, 25, (300, 2))
    return np.concatenate([RNG.uniform(0, 1, (300, 2)) * ([90, 60] - size), size], 1)


def test_corners():
    found = corners(np.array([[1, 2, 3, 4.5], [0, 0, 0, 0]]))
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 2, 4, 6.5], [0, 0, 0, 0]]
    assert corners(np.zeros((0, 4))).shape == (0, 4)


def test_the_sum_is_rounded_once():
    """In float32, 16777216 + 1 + 0.5 would lose the width."""
    box = np.array([[16777215.0, 0, 1.5, 1]])
    assert corners(box)[0, 2] == np.float32(16777216.5)


def test_areas_of_no_object_in_its_box():
    boxes = np.tile([5.0, 5, 20, 10], (7, 1))
    areas = np.array([200, 157, 1, 0.01, 450, 1e6, np.nan])
    assert odd_areas(boxes, areas).tolist() == [False, False, False, True, True, True, False]
    # The pixels that a thin object touches are more than its box.
    assert not odd_areas(np.array([[0, 0, 1.0, 1.0]]), np.array([9.0])).any()


boxes = st.tuples(*[st.floats(-30, 60, width=32)] * 2, *[st.floats(0, 50, width=32)] * 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(boxes, st.sampled_from([0.0, 3.0, np.nan])), max_size=8))
def test_uses_are_those_of_each_box_alone(given_boxes):
    xywh = np.array([b for b, _ in given_boxes]).reshape(-1, 4)
    areas = np.array([a for _, a in given_boxes])
    use = box_use(corners(xywh), np.tile([[30, 40]], (len(xywh), 1)), areas)
    for k, (x1, y1, x2, y2) in enumerate(corners(xywh).astype(float).tolist()):
        outside = not (min(x2, 40) > max(x1, 0) and min(y2, 30) > max(y1, 0))
        narrow = np.float32(x2 - x1) < 1 or np.float32(y2 - y1) < 1
        assert use.outside[k] == outside
        assert use.narrow[k] == narrow
        assert use.area_0[k] == (not areas[k] > 0)
        assert use.usable[k] == (not outside and not narrow and areas[k] > 0)
        assert use.leaving[k] == (max(-x1, -y1, x2 - 40, y2 - 30) > 1 or max(x1 - 40, y1 - 30) > 1)


def test_a_pixel_over_the_border_is_rounding():
    xyxy = np.array([[-1, -1, 41, 31], [0, 0, 41.01, 30], [-1.01, 0, 9, 9]], np.float32)
    use = box_use(xyxy, np.tile([[30, 40]], (3, 1)), np.ones(3))
    assert use.leaving.tolist() == [False, True, True]
    assert use.usable.all()


def misread():
    boxes = inside()
    x, y, w, h = boxes.T
    return {
        "fractions": boxes / [90, 60, 90, 60],
        "corners": np.stack([x, y, x + w, y + h], 1),
        "centres and sizes": np.stack([x + w / 2, y + h / 2, w, h], 1),
    }


@pytest.mark.parametrize("reading", ["fractions", "corners", "centres and sizes"])
def test_a_misreading_is_named(reading):
    assert likely_cause(misread()[reading], SIZES).startswith(f"they look like {reading}")


def test_exchanged_sizes_are_named():
    cause = likely_cause(inside(), SIZES[:, ::-1])
    assert cause == "they look like boxes of pictures with width and height exchanged"


def test_one_in_a_hundred_may_be_odd_but_not_two():
    boxes = misread()["corners"]
    boxes[:3] = -50
    assert likely_cause(boxes, SIZES)
    boxes[:4] = -50
    assert likely_cause(boxes, SIZES) == ""


def test_noise_and_a_pair_of_boxes_have_no_cause():
    assert likely_cause(RNG.uniform(-200, 200, (300, 4)), SIZES) == ""
    assert likely_cause(misread()["corners"][:2], SIZES[:2]) == ""
    assert likely_cause(np.zeros((0, 4)), np.zeros((0, 2))) == ""
