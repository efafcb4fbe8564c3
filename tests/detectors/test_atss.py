import functools

import pytest
import torch

from corrlight.detectors import ATSS
from tests.detectors.build import batch_of
from tests.detectors.build import build as build_dense

build = functools.partial(build_dense, ATSS)


def test_shapes():
    (stage,) = build()(batch_of())
    num = 12 * 16 + 6 * 8 + 3 * 4 + 2 * 2 + 1
    assert stage.logits.shape == (2, num, 3)
    assert stage.boxes.shape == stage.deltas.shape == (2, num, 4)
    assert stage.quality.shape == (2, num)
    assert stage.priors.shape == (num, 4)
    assert stage.valid[0].all()
    assert 0 < stage.valid[1].sum() < num
    assert stage.level_idx.bincount().tolist() == [192, 48, 12, 4, 1]


def test_several_anchors_a_cell():
    (stage,) = build(scales_per_octave=2)(batch_of())
    num = 2 * (12 * 16 + 6 * 8 + 3 * 4 + 2 * 2 + 1)
    assert stage.logits.shape == (2, num, 3)
    assert stage.quality.shape == (2, num)
    edges = stage.priors[:, 2] - stage.priors[:, 0]
    torch.testing.assert_close(edges[:2], torch.tensor([64.0, 64 * 2**0.5]))


def test_zero_deltas_are_the_anchors_and_scales_act_by_level():
    model = build()
    for parameter in model.regressor.parameters():
        torch.nn.init.zeros_(parameter)
    stage = model(batch_of())[0]
    torch.testing.assert_close(stage.boxes, stage.priors.expand(2, -1, -1))
    torch.nn.init.ones_(model.regressor.bias)
    with torch.no_grad():
        model.scales[1].fill_(3)
    deltas = model(batch_of())[0].deltas
    for level in range(5):
        mine = deltas[:, stage.level_idx == level]
        assert (mine == (3 if level == 1 else 1)).all()


def test_initial_scores_are_the_prior():
    stage = build()(batch_of())[0]
    assert 0.005 < stage.logits.sigmoid().mean().item() < 0.02


@pytest.mark.parametrize("aux_head", ["none", "untrained", "centerness"])
def test_auxiliary_head(aux_head):
    model = build(aux_head)
    (stage,) = model(batch_of())
    has_branch = any(name.startswith("centerness") for name, _ in model.named_parameters())
    assert has_branch == (stage.quality is not None) == (aux_head != "none")


def test_boxes_are_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (stage,) = build()(batch_of())
    assert stage.boxes.dtype == torch.float32


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"aux_head": "iou"}, "`aux_head`.*got 'iou'"),
        ({"strides": [8, 16]}, "`strides` to have 5 entries.*got 2"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**kwargs)
