import pytest

from corrlight.data.fitting.input_size import fitted, resized


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 640), (800, 1067)), ((640, 480), (1067, 800)), ((100, 1000), (133, 1333))],
)
def test_sizes_of_published_configurations(size, expected):
    assert resized(size, 800, 1333) == expected


def test_a_line_keeps_a_pixel():
    assert resized((2, 9000), 800, 1333) == (1, 1333)


def test_nothing_is_enlarged_without_a_size():
    assert fitted((240, 320)) == (240, 320)
    assert fitted((3000, 4000)) == (800, 1067)
    assert fitted((240, 320), 640) == (480, 640)
