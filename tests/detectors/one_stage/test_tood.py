import functools

import pytest
import torch

from corrlight.detectors import TOOD
from corrlight.detectors.one_stage.tood import TaskDecomposition, joint_logit
from tests.detectors.build import batch_of
from tests.detectors.build import build as build_dense

build = functools.partial(build_dense, TOOD)


def test_shapes_and_initial_scores():
    (stage,) = build()(batch_of())
    num = 12 * 16 + 6 * 8 + 3 * 4 + 2 * 2 + 1
    assert stage.logits.shape == (2, num, 3)
    assert stage.boxes.shape == (2, num, 4)
    assert 0.005 < float(stage.logits.sigmoid().mean()) < 0.02


def test_the_joint_logit_is_that_of_the_geometric_mean():
    a, b = torch.linspace(-12, 12, 49)[:, None].double(), torch.linspace(-9, 9, 19).double()
    expected = torch.logit((a.sigmoid() * b.sigmoid()).sqrt())
    torch.testing.assert_close(joint_logit(a, b).double(), expected, rtol=1e-4, atol=1e-4)
    wild = torch.tensor([-1e4, -100.0, 100.0, 1e4], requires_grad=True)
    found = joint_logit(wild, wild)
    found.sum().backward()
    assert found.isfinite().all()
    assert wild.grad.isfinite().all()


def test_the_decomposition_weighs_layers_for_each_image():
    torch.manual_seed(0)
    task = TaskDecomposition(16, 3, 4)
    features = torch.randn(2, 48, 5, 6)
    pooled = features.mean((2, 3), keepdim=True)
    share = task.attention(pooled).reshape(2, 3, 1, 1, 1)
    weighted = (features.reshape(2, 3, 16, 5, 6) * share).reshape(2, 48, 5, 6)
    expected = task.norm(task.conv(weighted)).relu()
    torch.testing.assert_close(task(features, pooled), expected)


def flat(model):
    """Let every side be one stride and every offset 0."""
    for layer in (model.regressor, model.reg_alignment[-1]):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    return model


def test_boxes_are_distances_in_strides_from_the_corner_of_the_cell():
    (stage,) = flat(build())(batch_of())
    centres = (stage.priors[:, :2] + stage.priors[:, 2:]) / 2
    strides = (stage.priors[:, 2:] - stage.priors[:, :2]) / 8
    expected = torch.cat([centres - strides, centres + strides], 1).expand(2, -1, -1)
    torch.testing.assert_close(stage.boxes, expected)


def test_a_side_is_read_beside_its_cell():
    model = flat(build())
    with torch.no_grad():
        model.reg_alignment[-1].bias[5] = 0.5  # the right side, half a cell to the right
    (stage,) = model(batch_of())
    # Cells of 8 pixels: the right sides of neighbours are 8 apart.
    torch.testing.assert_close(stage.boxes[0, 0], torch.tensor([-8.0, -8, 12, 8]))


def test_a_box_whose_sides_cross_stays_as_it_was():
    model = flat(build())
    with torch.no_grad():
        model.reg_alignment[-1].bias[1] = 4.0  # the left side, four cells to the right
    (stage,) = model(batch_of())
    torch.testing.assert_close(stage.boxes[0, 0], torch.tensor([-8.0, -8, 8, 8]))


def test_autocast_and_wild_outputs_stay_finite():
    model = build()
    with torch.no_grad():
        model.regressor.bias.fill_(1e4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (stage,) = model(batch_of())
    assert stage.boxes.dtype == torch.float32
    assert stage.boxes.isfinite().all()


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`strides` to have 5 entries.*got 2"):
        build(strides=[8, 16])
