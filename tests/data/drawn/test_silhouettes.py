import numpy as np
import pytest

from corrlight.data.drawn.silhouettes import SHAPE_CLASSES, Layer, rasterize, shape_layer


def test_area_is_that_of_the_polygon():
    square = np.array([[10.0, 20.0], [40.0, 20.0], [40.0, 60.0], [10.0, 60.0]])
    hole = np.array([[20.0, 30.0], [30.0, 30.0], [30.0, 40.0], [20.0, 40.0]])
    layer = rasterize((square, hole))
    assert layer.alpha.sum() / 255 == pytest.approx(30 * 40 - 10 * 10, rel=0.02)
    rows, columns = np.nonzero(layer.alpha >= 128)
    assert (columns.min() + layer.x0, rows.min() + layer.y0) == (10, 20)


@pytest.mark.parametrize(("x0", "y0"), [(-3, -2), (0, 0), (6, 5), (50, 50), (-50, 0)])
def test_window_is_the_overlap(x0, y0):
    layer = Layer(alpha=np.arange(1, 29, dtype=np.uint8).reshape(4, 7), x0=x0, y0=y0)
    seen, expected = np.zeros((8, 10)), np.zeros((8, 10))
    image, inner = layer.window(8, 10)
    seen[image] = layer.alpha[inner]
    for row in range(4):
        for column in range(7):
            if 0 <= row + y0 < 8 and 0 <= column + x0 < 10:
                expected[row + y0, column + x0] = layer.alpha[row, column]
    assert np.array_equal(seen, expected)


@pytest.mark.parametrize("label", range(len(SHAPE_CLASSES)))
def test_objects_lie_around_their_centre(label):
    layer = shape_layer(np.random.default_rng(label), label, 40.0, (100.0, 80.0))
    h, w = layer.alpha.shape
    assert abs(layer.x0 + w / 2 - 100) < 20
    assert abs(layer.y0 + h / 2 - 80) < 20
    assert 0 < (layer.alpha >= 128).sum() <= 40 * 40 * 1.1
