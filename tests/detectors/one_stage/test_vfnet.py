import functools

import torch
import torch.nn.functional as F

from corrlight.detectors import VFNet
from corrlight.detectors.one_stage.vfnet import StarConv
from tests.detectors.build import batch_of
from tests.detectors.build import build as build_dense

build = functools.partial(build_dense, VFNet)


def test_taps_lie_on_the_corners_the_sides_and_the_centre():
    """One tap at a time, against bilinear reading of the place that it is said to have."""
    torch.manual_seed(0)
    x = torch.randn(1, 1, 7, 9)
    left, top, right, bottom = 1.5, 0.25, 2.0, 1.75
    sides = torch.tensor([left, top, right, bottom]).reshape(1, 4, 1, 1).expand(1, 4, 7, 9)
    star, row, column = StarConv(1), 3, 4
    for i, y in enumerate((row - top, row, row + bottom)):
        for j, x_ in enumerate((column - left, column, column + right)):
            torch.nn.init.zeros_(star.weight)
            with torch.no_grad():
                star.weight[0, 0, i, j] = 1.0
            place = torch.tensor([[2 * x_ / 8 - 1, 2 * y / 6 - 1]]).reshape(1, 1, 1, 2)
            expected = F.grid_sample(x, place, align_corners=True).relu()
            torch.testing.assert_close(star(x, sides)[0, 0, row, column], expected[0, 0, 0, 0])


def test_a_box_of_one_cell_around_is_an_ordinary_convolution():
    torch.manual_seed(0)
    x, star = torch.randn(2, 4, 5, 6), StarConv(4)
    expected = F.conv2d(x, star.weight, padding=1).relu()
    torch.testing.assert_close(star(x, torch.ones(2, 4, 5, 6)), expected)


def test_shapes_and_the_refinement_multiplies():
    model = build()
    for layer in (model.regressor, model.refiner):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    with torch.no_grad():
        model.refiner.bias.copy_(torch.tensor([0.5, 0.25, 1.0, 2.0]).log())
    (stage,) = model(batch_of())
    num = 12 * 16 + 6 * 8 + 3 * 4 + 2 * 2 + 1
    assert stage.logits.shape == (2, num, 3)
    # Anchors have 8 strides; the exponential of 0 is one edge.
    torch.testing.assert_close(stage.coarse_boxes[0, 0], torch.tensor([-64.0, -64, 64, 64]))
    torch.testing.assert_close(stage.boxes[0, 0], torch.tensor([-32.0, -16, 64, 128]))


def test_a_tenth_of_the_gradient_passes_through_the_places_of_the_taps():
    model = build()
    (stage,) = model(batch_of())
    bias = model.regressor.bias
    assert torch.autograd.grad(stage.logits.sum(), bias, retain_graph=True)[0].any()
    # The refinement multiplies a constant: its boxes teach the first ones through the taps alone.
    through = torch.autograd.grad(stage.boxes.sum(), bias, retain_graph=True)[0]
    assert through.any()
    assert through.norm() < torch.autograd.grad(stage.coarse_boxes.abs().sum(), bias)[0].norm()


def test_autocast_and_wild_outputs_stay_finite():
    model = build()
    with torch.no_grad():
        model.regressor.bias.fill_(1e4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (stage,) = model(batch_of())
    assert stage.boxes.dtype == torch.float32
    assert stage.boxes.isfinite().all()
