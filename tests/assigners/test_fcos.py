import dataclasses

import pytest
import torch

from corrlight.assigners import FCOSAssigner
from corrlight.structures import BACKGROUND
from tests.assigners.scene import STRIDES, predictions, random_boxes, targets

RANGES = ((-1, 24), (24, 48), (48, 1e8))


def reference(priors, level_idx, boxes, radius):
    """Look at every point and object by itself."""
    found = []
    for prior, level in zip(priors.tolist(), level_idx.tolist(), strict=True):
        x, y = (prior[0] + prior[2]) / 2, (prior[1] + prior[3]) / 2
        best = (float("inf"), BACKGROUND)
        for g, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
            furthest = max(x - x1, y - y1, x2 - x, y2 - y)
            inside = min(x - x1, y - y1, x2 - x, y2 - y) > 0
            near = radius is None or (
                abs(x - (x1 + x2) / 2) < radius * STRIDES[level]
                and abs(y - (y1 + y2) / 2) < radius * STRIDES[level]
            )
            if inside and near and RANGES[level][0] <= furthest <= RANGES[level][1]:
                best = min(best, ((x2 - x1) * (y2 - y1), g))
        found.append(best[1])
    return torch.tensor(found)


@pytest.mark.parametrize("radius", [1.5, 0.6, None])
@pytest.mark.parametrize("seed", range(2))
def test_equals_the_definition_written_out(seed, radius):
    boxes = [random_boxes(n, 10 * seed + n, smallest=6, largest=100) for n in (8, 1)]
    stage = predictions(2, scale=1, offset=0.5)
    match = FCOSAssigner(RANGES, radius)(stage, targets(*boxes))
    for b, own in enumerate(boxes):
        assert torch.equal(match.gt_idx[b], reference(stage.priors, stage.level_idx, own, radius))
    assert match.positive.any()


def test_an_image_without_objects_is_background():
    match = FCOSAssigner(RANGES)(predictions(1, scale=1, offset=0.5), targets([]))
    assert (match.gt_idx == BACKGROUND).all()


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`size_ranges`.*got "):
        FCOSAssigner([[4, 4]])
    with pytest.raises(ValueError, match=r"`center_radius`.*got -1"):
        FCOSAssigner(RANGES, -1)
    with pytest.raises(ValueError, match=r"`size_ranges` to have 3 entries.*got 1"):
        FCOSAssigner(RANGES[:1])(predictions(1), targets([]))
    stage = dataclasses.replace(predictions(1), priors=None)
    with pytest.raises(ValueError, match=r"`predictions.priors`.*got None"):
        FCOSAssigner(RANGES)(stage, targets([]))
