import pytest

from corrlight.data import FitSize
from tests.data.painted import painted, rng


@pytest.mark.parametrize(
    ("size", "expected"),
    [((240, 320), (240, 320)), ((1600, 2000), (800, 1000)), ((500, 2666), (250, 1333))],
)
def test_without_a_size_nothing_is_enlarged(size, expected):
    step = FitSize()
    assert step.new_size(size, step.short[0]) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [((240, 320), (480, 640)), ((1000, 500), (640, 320)), ((9000, 2), (640, 1))],
)
def test_a_size_is_the_longer_side(size, expected):
    step = FitSize(640)
    assert step.new_size(size, step.short[0]) == expected


def test_boxes_follow():
    out = FitSize(20)(painted((20, 40), [(4, 6, 20, 12)]), rng())
    assert out.size == (10, 20)
    assert out.boxes.tolist() == [[2, 3, 10, 6]]


@pytest.mark.parametrize("size", [0, -3, 1.5, True])
def test_bad_size(size):
    with pytest.raises(ValueError, match="Expected `size` to be an int of at least 1"):
        FitSize(size)
