import functools

import pytest
import torch

from corrlight.detectors import FCOS
from tests.detectors.build import batch_of
from tests.detectors.build import build as build_dense

build = functools.partial(build_dense, FCOS)


def test_priors_are_the_cells():
    (stage,) = build()(batch_of())
    assert stage.logits.shape == (2, 12 * 16 + 6 * 8 + 3 * 4 + 2 * 2 + 1, 3)
    torch.testing.assert_close(stage.priors[1], torch.tensor([8.0, 0, 16, 8]))
    assert stage.priors[-1].tolist() == [0, 0, 128, 128]


def test_boxes_are_distances_in_strides_and_never_negative():
    model = build()
    for parameter in model.regressor.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        model.regressor.bias.copy_(torch.tensor([0.5, -3.0, 1.0, 2.0]))
        model.scales[0].fill_(2)
    (stage,) = model(batch_of())
    # Stride 8, centre (4, 4), scaled by two; a negative distance counts as none.
    torch.testing.assert_close(stage.boxes[0, 0], torch.tensor([-4.0, 4, 20, 36]))
    assert (stage.deltas >= 0).all()


@pytest.mark.parametrize("aux_head", ["none", "untrained", "centerness"])
def test_auxiliary_head(aux_head):
    model = build(aux_head)
    (stage,) = model(batch_of())
    has_branch = any(name.startswith("centerness") for name, _ in model.named_parameters())
    assert has_branch == (stage.quality is not None) == (aux_head != "none")


def test_towers_have_a_bias_beside_the_normalisation():
    assert build().cls_tower[0].conv.bias is not None
    assert build(conv_bias=False).cls_tower[0].conv.bias is None


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`aux_head`.*got 'iou'"):
        build(aux_head="iou")
