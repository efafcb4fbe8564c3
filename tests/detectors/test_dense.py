"""What the dense detectors share, and their priors at full size."""

import pytest
import torch

from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from corrlight.detectors import ATSS, PAA, FoveaBox, RetinaNet
from corrlight.structures import Batch
from tests.detectors.build import batch_of, build, full_size

NAMES = ("retinanet", "foveabox", "atss", "paa")
# Of a 800x1333 image padded to multiples of 32.
CELLS = [100 * 168, 50 * 84, 25 * 42, 13 * 21, 7 * 11]
STRIDES = (8, 16, 32, 64, 128)
RATIOS = {0.5: (2**0.5, 2**-0.5), 1.0: (1, 1), 2.0: (2**-0.5, 2**0.5)}


def expected_sizes(name, stride):
    """Width and height of the priors of one cell, in their order."""
    if name == "retinanet":
        return [
            (4 * stride * 2 ** (octave / 3) * w, 4 * stride * 2 ** (octave / 3) * h)
            for w, h in RATIOS.values()
            for octave in range(3)
        ]
    # FoveaBox has points; its boxes are of twice the base edge, two strides.
    return [(4 * stride,) * 2] if name == "foveabox" else [(8 * stride,) * 2]


@pytest.mark.parametrize("name", NAMES)
def test_priors_of_a_full_size_image(name):
    detector = full_size(name)
    image = torch.empty(1, 3, 800, 1344, device="meta")
    maps = detector.neck(detector.backbone(image))
    sizes = [(m.shape[2], m.shape[3]) for m in maps]
    assert [height * width for height, width in sizes] == CELLS
    priors, level_idx = detector.anchors(sizes, torch.device("cpu"))
    start = 0
    for level, (stride, (height, width)) in enumerate(zip(STRIDES, sizes, strict=True)):
        per_cell = torch.tensor(expected_sizes(name, stride)).float()
        num = height * width * len(per_cell)
        own = priors[start : start + num].reshape(height, width, -1, 4)
        assert (level_idx[start : start + num] == level).all()
        extent = own[..., 2:] - own[..., :2]
        torch.testing.assert_close(extent, per_cell.expand_as(extent), rtol=1e-4, atol=1e-3)
        middle = (own[..., :2] + own[..., 2:]) / 2
        offset = stride / 2 if name == "foveabox" else 0
        x = torch.arange(width)[None, :, None] * stride + offset
        y = torch.arange(height)[:, None, None] * stride + offset
        torch.testing.assert_close(middle[..., 0], x.expand(middle.shape[:3]).float())
        torch.testing.assert_close(middle[..., 1], y.expand(middle.shape[:3]).float())
        start += num
    assert start == len(priors) == sum(CELLS) * len(per_cell)


@pytest.mark.parametrize("detector", [RetinaNet, FoveaBox, ATSS, PAA])
def test_initial_scores_and_boxes(detector):
    model = build(detector)
    (stage,) = model(batch_of())
    assert 0.005 < stage.logits.sigmoid().mean().item() < 0.02
    torch.testing.assert_close(stage.boxes, model.coder.decode(stage.priors, stage.deltas))


def test_batches_of_one_image_equal_each_image_alone():
    """Padding of the batch changes nothing but the border of the smaller image."""
    module = build_module(compose_config(["detector=retinanet_small", "corr=none"]).config).eval()
    batch = batch_of()
    alone = Batch(images=batch.images[:1], targets=batch.targets[:1])
    with torch.no_grad():
        both, one = module.detector(batch)[0], module.detector(alone)[0]
    torch.testing.assert_close(both.logits[:1], one.logits, rtol=1e-4, atol=1e-5)
