import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from corrlight.data import (
    DropSmallObjects,
    PhotometricDistortion,
    RandomExpand,
    RandomIoUCrop,
    Resize,
    Sample,
)
from corrlight.data.ssd_augmentation import _recoloured
from tests.data.painted import assert_repeatable, extent, painted, rng


def colourful(size=(9, 13)):
    sample = painted(size, [(1, 2, 5, 6)])
    image = torch.from_numpy(rng().integers(0, 256, (3, *size), np.uint8))
    return Sample(**{f: getattr(sample, f) for f in sample.__slots__} | {"image": image})


def test_small_objects_are_dropped_with_their_masks():
    sample = painted((20, 30), [(0, 0, 4, 4), (5, 5, 8, 15), (10, 2, 20, 5), (20, 9, 29, 19)])
    kept = DropSmallObjects(4)(sample, rng())
    assert kept.labels.tolist() == [0, 3]
    assert [extent(m) for m in kept.masks] == kept.boxes.tolist()


@given(st.floats(0.5, 1.5), st.floats(-18, 18))
@settings(max_examples=30, deadline=None)
def test_saturation_and_hue_are_those_of_hsv(saturation, turn):
    image = colourful((3, 4)).image.float()
    found = _recoloured(image.clone(), saturation, turn).flatten(1).T / 255
    for before, after in zip(image.flatten(1).T / 255, found, strict=True):
        hue, depth, value = colorsys.rgb_to_hsv(*before.tolist())
        expected = colorsys.hsv_to_rgb((hue + turn / 360) % 1, min(depth * saturation, 1), value)
        assert after.tolist() == pytest.approx(expected, abs=2e-5)


def test_saturation_of_grey_and_black_changes_nothing():
    image = torch.tensor([0.0, 90.0]).expand(3, 1, 2)
    for saturation in (0.5, 1.5):
        torch.testing.assert_close(_recoloured(image.clone(), saturation, 0.0), image)


def test_without_any_step_the_colours_stay():
    sample = colourful()
    assert torch.equal(PhotometricDistortion(p=0)(sample, rng()).image, sample.image)


def test_brightness_contrast_and_channel_order():
    image = torch.full((3, 2, 2), 100, dtype=torch.uint8)
    image[1], image[2] = 50, 20
    sample = colourful((2, 2))
    sample = Sample(**{f: getattr(sample, f) for f in sample.__slots__} | {"image": image})
    added, factors, orders = set(), set(), set()
    still = {"saturation": (1, 1), "hue": 0}
    bright = PhotometricDistortion(brightness=32, contrast=(1, 1), **still)
    contrast = PhotometricDistortion(brightness=0, **still)
    for seed in range(300):
        values = bright(sample, rng(seed)).image[:, 0, 0].tolist()
        added.add(max(values) - 100)
        orders.add(tuple(np.argsort(values)))
        values = contrast(sample, rng(seed)).image[:, 0, 0].tolist()
        factors.add(max(values))
        assert sorted(values) == pytest.approx(
            [max(values) / 5, max(values) / 2, max(values)], abs=1
        )
    assert (min(added), max(added)) == (-32, 32)
    assert min(factors) in (50, 51)
    assert max(factors) in (149, 150)
    assert len(orders) == 6


def test_distortion_leaves_geometry_alone():
    sample = colourful()
    distorted = PhotometricDistortion(p=1)(sample, rng(3))
    assert distorted.image.dtype == torch.uint8
    assert not torch.equal(distorted.image, sample.image)
    assert distorted.boxes is sample.boxes
    assert distorted.masks is sample.masks


def test_expand_moves_everything_together():
    sample = painted((20, 30), [(3, 4, 10, 12), (15, 6, 25, 18)], crowd_boxes=[(3, 4, 10, 12)])
    sizes = set()
    for seed in range(40):
        found = RandomExpand(4.0, (9, 8, 7), p=1)(sample, rng(seed))
        assert found.masks.shape[1:] == found.size
        assert [extent(m) for m in found.masks] == found.boxes.tolist()
        assert [extent(found.image[0] == k) for k in (1, 2)] == found.boxes.tolist()
        assert torch.equal(found.crowd_boxes[0], found.boxes[0])
        assert int((found.image[1] == 8).sum()) == found.size[0] * found.size[1] - 600
        assert all(old <= new <= 4 * old for old, new in zip((20, 30), found.size, strict=True))
        sizes.add(found.size[0])
    assert max(sizes) - min(sizes) > 40
    assert RandomExpand(4.0, (9, 8, 7), p=0)(sample, rng()) is sample


def test_crop_meets_its_bound_for_every_object():
    sample = painted((60, 80), [(5, 5, 70, 55), (10, 6, 66, 52)])
    # Every pixel says where it was.
    places = torch.stack(torch.meshgrid(torch.arange(60), torch.arange(80), indexing="ij"))
    image = torch.cat([places, places[:1]]).to(torch.uint8)
    sample = Sample(**{f: getattr(sample, f) for f in sample.__slots__} | {"image": image})
    for bound in (0.1, 0.5, 0.7):
        crop = RandomIoUCrop([bound])
        crop.modes = (bound,)
        for seed in range(30):
            found = crop(sample, rng(seed))
            top, left = (int(found.image[axis, 0, 0]) for axis in (0, 1))
            height, width = found.size
            window = torch.tensor([[left, top, left + width, top + height]], dtype=torch.float32)
            assert float(box_iou(window, sample.boxes).min()) >= bound
            assert (height + 1) / width >= 0.5
            assert height / (width + 1) <= 2
            assert [extent(m) for m in found.masks] == found.boxes.tolist()


def test_crop_keeps_objects_by_their_centres():
    sample = painted((40, 40), [(0, 0, 12, 12), (28, 28, 40, 40)])
    crop = RandomIoUCrop([])
    crop.modes = (0.0,)
    counts = set()
    for seed in range(60):
        found = crop(sample, rng(seed))
        assert len(found.boxes) >= 1
        counts.add(len(found.boxes))
        for box, label in zip(found.boxes, found.labels, strict=True):
            size = (box[2:] - box[:2]).tolist()
            assert min(size) >= 6, label
    assert counts == {1, 2}


def test_crop_of_an_image_without_objects():
    sample = painted((40, 60), [])
    sizes = {RandomIoUCrop([0.9])(sample, rng(seed)).size for seed in range(30)}
    assert len(sizes) > 5


def test_resize_without_the_ratio():
    sample = painted((20, 40), [(4, 2, 20, 10)])
    found = Resize(55, 60, keep_ratio=False)(sample, rng())
    assert found.size == (55, 60)
    torch.testing.assert_close(found.boxes, torch.tensor([[6.0, 5.5, 30.0, 27.5]]))


def test_same_generator_same_sample():
    sample = colourful((40, 60))
    steps = [PhotometricDistortion(), RandomExpand(3.0, (1, 2, 3)), RandomIoUCrop([0.1, 0.5])]
    assert_repeatable(sample, steps)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DropSmallObjects(-1), "`min_side` to be at least 0, but got -1"),
        (lambda: PhotometricDistortion(contrast=(2, 1)), "`contrast`.*got \\[2, 1\\]"),
        (lambda: PhotometricDistortion(hue=200), "`hue`.*got 200"),
        (lambda: PhotometricDistortion(p=2), "`p`.*got 2"),
        (lambda: RandomExpand(0.5, (1, 2, 3)), "`max_ratio`.*got 0.5"),
        (lambda: RandomExpand(2, (1, 2)), "`fill`.*got \\[1, 2\\]"),
        (lambda: RandomExpand(2, (1, 2, 3), p=-1), "`p`.*got -1"),
        (lambda: RandomIoUCrop([1.5]), "`min_ious`.*got \\[1.5\\]"),
        (lambda: RandomIoUCrop([], 0), "`min_scale`.*got 0"),
    ],
)
def test_bad_options(make, message):
    with pytest.raises(ValueError, match=message):
        make()
