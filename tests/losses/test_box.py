"""Box losses against torchvision and finite differences."""

import pytest
import torch
from torchvision.ops import generalized_box_iou_loss

from corrlight.losses import (
    giou_loss,
    iou_loss,
    l1_loss,
    smooth_l1_loss,
)
from tests.losses.random_input import GENERATOR, random_boxes


def test_giou_is_torchvisions():
    pred, target = random_boxes(50), random_boxes(50)
    expected = generalized_box_iou_loss(pred, target, eps=0)
    torch.testing.assert_close(giou_loss(pred, target, reduction="none"), expected)


@pytest.mark.parametrize(
    "loss", [giou_loss, iou_loss, l1_loss, smooth_l1_loss], ids=lambda loss: loss.__name__
)
def test_box_losses_gradcheck(loss):
    pred, target = random_boxes(6).requires_grad_(), random_boxes(6)
    # Overlapping by more than the step, away from the corners of min and max.
    target = target * 0.5 + pred.detach() * 0.5 + 0.3
    weights = torch.rand(6, dtype=torch.float64, generator=GENERATOR)
    assert torch.autograd.gradcheck(
        lambda x: loss(x, target, weights=weights, normalizer=4.0), (pred,)
    )


@pytest.mark.parametrize(
    "loss", [giou_loss, iou_loss, l1_loss, smooth_l1_loss], ids=lambda loss: loss.__name__
)
def test_box_losses_of_nothing_and_of_empty_boxes(loss):
    for boxes in (torch.zeros(0, 4), torch.zeros(2, 4), torch.full((2, 4), 7.0)):
        pred = boxes.clone().requires_grad_()
        value = loss(pred, boxes.clone())
        value.backward()
        assert value.isfinite()
        assert pred.grad.isfinite().all()


def test_l1_rejects_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match=r"shape \(3, 4\), but got \(4,\)"):
        l1_loss(torch.zeros(3, 4), torch.zeros(4))
    with pytest.raises(ValueError, match="`beta` to be a finite number > 0, but got 0"):
        smooth_l1_loss(torch.zeros(3, 4), torch.zeros(3, 4), beta=0)
