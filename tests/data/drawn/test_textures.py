import colorsys

import numpy as np

from corrlight.data.drawn.textures import object_color, vivid_color


def hue(color):
    return 360 * colorsys.rgb_to_hsv(*(color / 255))[0]


def test_colours_are_colours():
    rng = np.random.default_rng(0)
    for _ in range(50):
        color = vivid_color(rng)
        assert color.shape == (3,)
        assert ((color >= 0) & (color <= 255)).all()
        assert color.max() - color.min() > 50


def test_most_objects_of_a_class_have_its_hue():
    rng = np.random.default_rng(1)
    greens = np.array([hue(object_color(rng, 3)) for _ in range(200)])
    assert 0.8 < (abs(greens - 120) <= 11).mean() < 1
