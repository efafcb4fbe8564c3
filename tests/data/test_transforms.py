import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corrlight.data import Choice, RandomCrop, RandomHorizontalFlip, Resize, Sample
from tests.data.painted import assert_repeatable, extent, painted, rng


@st.composite
def scenes(draw):
    height, width = draw(st.integers(4, 40)), draw(st.integers(4, 40))
    x1, y1 = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 2))
    x2, y2 = draw(st.integers(x1 + 1, width)), draw(st.integers(y1 + 1, height))
    return (height, width), [(x1, y1, x2, y2)]


@given(scenes())
@settings(max_examples=60, deadline=None)
def test_flip_keeps_boxes_on_their_objects(scene):
    sample = painted(*scene, crowd_boxes=scene[1])
    flipped = RandomHorizontalFlip(1.0)(sample, rng())
    assert flipped.boxes.tolist() == [extent(flipped.image[0] == 1)]
    assert flipped.boxes.tolist() == [extent(flipped.masks[0])]
    assert flipped.crowd_boxes.tolist() == flipped.boxes.tolist()
    twice = RandomHorizontalFlip(1.0)(flipped, rng())
    assert torch.equal(twice.image, sample.image)
    assert torch.equal(twice.boxes, sample.boxes)


def test_flip_comes_with_its_probability():
    sample = painted((4, 6), [(0, 0, 2, 2)])
    for p, low, high in ((0.0, 0, 0), (0.5, 80, 120), (1.0, 200, 200)):
        flip, generator = RandomHorizontalFlip(p), rng()
        count = sum(flip(sample, generator).boxes[0, 0].item() == 4 for _ in range(200))
        assert low <= count <= high


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # The toolbox's sizes for common COCO images.
        ((480, 640), (800, 1067)),
        ((427, 640), (800, 1199)),
        ((640, 427), (1199, 800)),
        ((375, 500), (800, 1067)),
        ((200, 640), (417, 1333)),
        ((1200, 1600), (800, 1067)),
    ],
)
def test_resize_to_the_published_size(size, expected):
    assert Resize(short=800, long=1333).new_size(size, 800) == expected


@given(scenes(), st.integers(5, 60))
@settings(max_examples=40, deadline=None)
def test_resize_scales_boxes_with_the_image(scene, short):
    sample = painted(*scene, crowd_boxes=scene[1])
    resized = Resize(short=short, long=150)(sample, rng())
    y, x = (resized.size[k] / sample.size[k] for k in (0, 1))
    expected = sample.boxes * torch.tensor([x, y, x, y])
    torch.testing.assert_close(resized.boxes, expected)
    torch.testing.assert_close(resized.crowd_boxes, expected)
    assert type(resized.boxes) is torch.Tensor
    assert resized.masks.shape[-2:] == resized.image.shape[-2:]
    assert min(resized.size) <= short
    assert max(resized.size) <= 150


def test_resize_interpolates_like_the_reference():
    image = torch.from_numpy(rng().integers(0, 256, (3, 37, 53), np.uint8))
    sample = painted((37, 53), [(1, 2, 8, 9)])
    sample = Sample(**{f: getattr(sample, f) for f in sample.__slots__} | {"image": image})
    resized = Resize(short=80, long=133)(sample, rng()).image
    exact = torch.nn.functional.interpolate(
        image[None].float(), resized.shape[-2:], mode="bilinear"
    )
    assert (resized.float() - exact[0]).abs().max() <= 1


def test_resize_draws_every_short_side():
    sample = painted((30, 40), [(1, 2, 8, 9)])
    resize, generator = Resize(short=[15, 20, 25], long=100), rng()
    assert {resize(sample, generator).size[0] for _ in range(60)} == {15, 20, 25}


@given(scenes(), st.integers(0, 99), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_crop_keeps_what_is_inside(scene, seed, side):
    sample = painted(*scene, crowd_boxes=scene[1])
    cropped = RandomCrop(side, side + 10)(sample, rng(seed))
    assert all(min(side, old) <= new <= min(side + 10, old)
               for new, old in zip(cropped.size, sample.size, strict=True))  # fmt: skip
    inside = bool((cropped.image[0] == 1).any())
    assert len(cropped.boxes) == len(cropped.labels) == len(cropped.masks) == inside
    assert len(cropped.crowd_boxes) == inside
    if inside:
        assert cropped.boxes.tolist() == [extent(cropped.image[0] == 1)]
        assert cropped.boxes.tolist() == [extent(cropped.masks[0])]


def test_choice_takes_each_option():
    sample = painted((30, 40), [(1, 2, 8, 9)])
    choice = Choice({"a": {"r": Resize(15, 100)}, "b": {"f": RandomHorizontalFlip(1.0)}})
    generator = rng()
    sizes = [choice(sample, generator).size for _ in range(40)]
    assert 10 <= sizes.count((15, 20)) <= 30
    assert set(sizes) == {(15, 20), (30, 40)}


def test_same_generator_same_sample():
    sample = painted((60, 80), [(1, 2, 30, 40)])
    steps = [RandomHorizontalFlip(), RandomCrop(10, 50), Resize([20, 30, 40], 200)]
    assert_repeatable(sample, steps)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Resize(0, 10), "one or more ints from 1 to `long`=10, but got 0."),
        (lambda: Resize([5, 20], 10), "ints from 1 to `long`=10, but got [5, 20]."),
        (lambda: Resize([], 10), "but got []."),
        (lambda: RandomHorizontalFlip(1.5), "Expected `p` to be in [0, 1], but got 1.5."),
        (lambda: RandomCrop(7, 5), "Expected `min_side` to be in [1, `max_side`=5], but got 7."),
        (lambda: Choice({}), "Expected `options` to name at least one sequence, but got none."),
    ],
)  # fmt: skip
def test_bad_options(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value).endswith(message)
