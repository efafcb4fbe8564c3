import numpy as np
import pytest

from corrlight.data.drawn.scene import draw_scene


@pytest.mark.parametrize("size", [(64, 64), (48, 96)])
def test_objects_share_no_pixel_and_none_is_empty(size):
    for seed in range(6):
        scene = draw_scene(np.random.default_rng(seed), *size)
        assert scene.image.shape == (*size, 3)
        assert scene.image.dtype == np.uint8
        masks = np.stack([item.mask for item in scene.objects])
        assert (masks.sum(0) <= 1).all()
        assert masks.reshape(len(masks), -1).any(1).all()


def test_the_generator_decides_alone():
    first, again, other = (draw_scene(np.random.default_rng(s), 64, 64).image for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
