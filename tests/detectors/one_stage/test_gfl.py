import functools

import pytest
import torch

from corrlight.detectors import GFL
from tests.detectors.build import batch_of
from tests.detectors.build import build as build_dense

build = functools.partial(build_dense, GFL)


def test_shapes():
    (stage,) = build(num_bins=7)(batch_of())
    num = 12 * 16 + 6 * 8 + 3 * 4 + 2 * 2 + 1
    assert stage.logits.shape == (2, num, 3)
    assert stage.boxes.shape == stage.deltas.shape == (2, num, 4)
    assert stage.distribution.shape == (2, num, 4, 8)
    assert stage.quality is None


def test_a_certain_distribution_is_its_bin_in_strides():
    model = build(num_bins=4)
    for parameter in model.regressor.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        model.regressor.bias.reshape(4, 5)[torch.arange(4), torch.tensor([1, 0, 2, 3])] = 50.0
    (stage,) = model(batch_of())
    torch.testing.assert_close(stage.deltas, torch.tensor([1.0, 0, 2, 3]).expand_as(stage.deltas))
    # The first anchor of the second level: centre (0, 0), stride 16.
    first = int((stage.level_idx == 0).sum())
    torch.testing.assert_close(stage.boxes[0, first], torch.tensor([-16.0, 0, 32, 48]))


def test_an_even_distribution_is_the_middle_and_scales_sharpen_by_level():
    model = build(num_bins=4)
    for parameter in model.regressor.parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(model(batch_of())[0].deltas.unique(), torch.tensor([2.0]))
    with torch.no_grad():
        model.regressor.bias[4::5] = 1.0  # the last bin of every side
        model.scales[1].fill_(3)
    stage = model(batch_of())[0]
    means = [float(stage.deltas[:, stage.level_idx == i].mean()) for i in range(3)]
    expected = [
        float((torch.tensor([0.0, 0, 0, 0, s]).softmax(0) * torch.arange(5)).sum()) for s in (1, 3)
    ]
    assert means == pytest.approx([expected[0], expected[1], expected[0]], rel=1e-5)


def test_boxes_are_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (stage,) = build()(batch_of())
    assert stage.boxes.dtype == torch.float32


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`num_bins`.*got 0"):
        build(num_bins=0)
