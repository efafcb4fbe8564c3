import dataclasses
import math

import pytest
import torch

from corrlight.assigners import FoveaBoxAssigner
from corrlight.structures import BACKGROUND
from tests.assigners.scene import SIZES, STRIDES, predictions, random_boxes, targets

RANGES = ((1, 32), (16, 64), (32, 256))


def assigner():
    return FoveaBoxAssigner(STRIDES, RANGES)


def reference(boxes, sigma=0.4):
    """Paint one object after the other, the largest first."""
    levels = []
    size = [math.sqrt(float((b[2] - b[0]) * (b[3] - b[1]))) for b in boxes]
    for stride, (height, width), (low, high) in zip(STRIDES, SIZES, RANGES, strict=True):
        level = torch.full((height, width), BACKGROUND)
        for g in sorted(range(len(boxes)), key=lambda g: -size[g]):
            if low <= size[g] <= high:
                x1, y1, x2, y2 = (boxes[g] / stride).tolist()
                xs = cells((x1 + x2) / 2, sigma * (x2 - x1) / 2, width)
                ys = cells((y1 + y2) / 2, sigma * (y2 - y1) / 2, height)
                level[ys, xs] = g
        levels.append(level.flatten())
    return torch.cat(levels)


def cells(middle, half, count):
    """The cells whose middles lie inside, those beyond the map moved to its border."""
    first, last = math.ceil(middle - half - 0.5), math.floor(middle + half - 0.5)
    first, last = (min(max(x, 0), count - 1) for x in (first, last))
    return slice(first, last + 1)


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_definition_written_out(seed):
    boxes = [random_boxes(n, 10 * seed + n, smallest=4, largest=100) for n in (8, 1)]
    match = assigner()(predictions(2, offset=0.5), targets(*boxes))
    for b, own in enumerate(boxes):
        expected = reference(own)
        assert torch.equal(match.gt_idx[b], expected)
        assert b or (expected >= 0).any()


def test_an_object_may_be_on_several_levels_or_on_none():
    stage = predictions(3, offset=0.5)
    boxes = [[40, 40, 64, 64]], [[0, 0, 160, 128]], [[40, 40, 40.5, 40.5]]
    match = assigner()(stage, targets(*boxes))
    levels = [stage.level_idx[row >= 0].unique().tolist() for row in match.gt_idx]
    assert levels == [[0, 1], [2], []]


def test_the_smaller_object_takes_the_cell():
    big, small = [32, 32, 64, 64], [40, 40, 48, 48]
    stage = predictions(1, offset=0.5)
    for boxes, index in (([big, small], 1), ([small, big], 0)):
        match = assigner()(stage, targets(boxes))
        middle = 5 * SIZES[0][1] + 5
        assert match.gt_idx[0, middle] == index
        assert match.num_positives[0] > 1


def test_images_without_objects():
    match = assigner()(predictions(2, offset=0.5), targets([], [[40, 40, 64, 64]]))
    assert match.num_positives[0] == 0
    assert match.num_positives[1] > 0


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"size_ranges": [[1, 2]]}, "`size_ranges`.*each of 5 strides, but got 1"),
        ({"strides": [8], "size_ranges": [[3, 2]]}, r"`size_ranges`.*got \[\[3, 2\]\]"),
        ({"sigma": 0.0}, r"`sigma`.*got 0\.0"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        FoveaBoxAssigner(**kwargs)


def test_bad_predictions():
    with pytest.raises(ValueError, match=r"`strides` to have 3 entries.*got 5"):
        FoveaBoxAssigner()(predictions(1), targets([]))
    with pytest.raises(ValueError, match=r"`predictions\.priors`.*got None"):
        assigner()(dataclasses.replace(predictions(1), priors=None), targets([]))
