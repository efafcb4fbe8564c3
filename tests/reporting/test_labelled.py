import numpy as np
import pytest

from corrlight.reporting.labelled import class_color, draw_labelled


def test_colours_of_many_classes_differ():
    assert len({class_color(k) for k in range(80)}) == 80
    assert all(0 <= v <= 255 for k in range(500) for v in class_color(k))


def test_a_box_has_its_classs_colour_and_the_rest_is_the_picture():
    pixels = np.random.default_rng(0).integers(0, 256, (400, 500, 3), np.uint8)
    boxes = np.array([[100.0, 150, 300, 350]])
    picture = np.asarray(draw_labelled(pixels, boxes, np.array([2]), np.array([0.91]), "abc"))
    assert picture[150, 200].tolist() == list(class_color(2))
    assert np.array_equal(picture[250:, 400:], pixels[250:, 400:])


@pytest.mark.parametrize(("size", "shown"), [((64, 128), (384, 192)), ((300, 320), (320, 300))])
def test_small_pictures_are_enlarged_by_a_whole_factor(size, shown):
    empty = np.zeros((0, 4)), np.zeros(0, int), np.zeros(0)
    assert draw_labelled(np.zeros((*size, 3), np.uint8), *empty, []).size == shown


def test_the_better_mask_is_on_top():
    masks = np.ones((2, 330, 330), bool)
    boxes = np.array([[0.0, 0, 9, 9], [0, 0, 9, 9]])
    pixels = np.zeros((330, 330, 3), np.uint8)
    picture = draw_labelled(
        pixels, boxes, np.array([0, 1]), np.array([0.9, 0.3]), ["a", "b"], masks
    )
    expected = np.round(0.45 * np.array(class_color(0))).tolist()
    assert np.asarray(picture)[200, 200].tolist() == expected
