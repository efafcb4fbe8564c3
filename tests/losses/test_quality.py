"""Losses whose targets are qualities."""

import math

import pytest
import torch

from corrlight.losses import (
    distribution_focal_loss,
    quality_focal_loss,
    varifocal_loss,
)
from tests.losses.random_input import random


def test_quality_focal_gradcheck():
    logits, labels = random(7, 3).requires_grad_(), torch.tensor([0, 3, 1, 3, 2, 2, 3])
    qualities = torch.rand(7, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: quality_focal_loss(x, labels, qualities), (logits,))


def test_quality_focal_ignores_the_quality_of_background():
    logits, labels = random(4, 3), torch.tensor([3, 1, 3, 3])
    first = quality_focal_loss(logits, labels, torch.tensor([0.0, 0.4, 0.0, 0.0]))
    assert quality_focal_loss(logits, labels, torch.tensor([0.9, 0.4, 0.9, 0.1])) == first


@pytest.mark.parametrize("iou_weighted", [True, False])
def test_varifocal_gradcheck(iou_weighted):
    logits = random(5, 3).requires_grad_()
    targets = torch.rand(5, 3, dtype=torch.float64) * (random(5, 3) > 0)
    assert torch.autograd.gradcheck(
        lambda x: varifocal_loss(x, targets, iou_weighted=iou_weighted), (logits,)
    )


def test_distribution_focal_is_least_at_the_label():
    labels = torch.tensor([0.0, 2.25, 7.0], dtype=torch.float64)
    target = torch.zeros(3, 8, dtype=torch.float64)
    target[0, 0] = target[2, 7] = 1
    target[1, 2], target[1, 3] = 0.75, 0.25
    logits = target.clamp(min=1e-12).log().requires_grad_()
    value = distribution_focal_loss(logits, labels, reduction="none")
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    torch.testing.assert_close(value, torch.tensor([0, entropy, 0], dtype=torch.float64))
    value.sum().backward()
    torch.testing.assert_close(logits.grad, torch.zeros_like(logits), rtol=0, atol=1e-9)
