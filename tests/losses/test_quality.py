"""Losses whose targets are qualities, by their formulas typed again."""

import math

import pytest
import torch

from corrlight.losses import (
    distribution_focal_loss,
    quality_focal_loss,
    varifocal_loss,
)
from tests.losses.random_input import GENERATOR, random


def uniform(*shape):
    return torch.rand(*shape, dtype=torch.float64, generator=GENERATOR)


def cross_entropy(p, target):
    return -(target * math.log(p) + (1 - target) * math.log(1 - p))


@pytest.mark.parametrize("beta", [0.0, 1.5, 2.0])
def test_quality_focal_by_its_formula(beta):
    logits, labels, qualities = random(5, 3), [0, 3, 1, 3, 2], uniform(5)
    expected = []
    for row, label, quality in zip(logits.sigmoid().tolist(), labels, qualities, strict=True):
        truth = [float(quality) if c == label else 0.0 for c in range(3)]
        pairs = list(zip(row, truth, strict=True))
        expected.append(sum(abs(y - p) ** beta * cross_entropy(p, y) for p, y in pairs))
    found = quality_focal_loss(logits, torch.tensor(labels), qualities, beta, reduction="none")
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_quality_focal_gradcheck():
    logits, labels = random(7, 3).requires_grad_(), torch.tensor([0, 3, 1, 3, 2, 2, 3])
    qualities = uniform(7)
    assert torch.autograd.gradcheck(lambda x: quality_focal_loss(x, labels, qualities), (logits,))


def test_quality_focal_ignores_the_quality_of_background():
    logits, labels = random(4, 3), torch.tensor([3, 1, 3, 3])
    first = quality_focal_loss(logits, labels, torch.tensor([0.0, 0.4, 0.0, 0.0]))
    assert quality_focal_loss(logits, labels, torch.tensor([0.9, 0.4, 0.9, 0.1])) == first


@pytest.mark.parametrize("iou_weighted", [True, False])
def test_varifocal_by_its_formula(iou_weighted):
    logits, targets = random(6, 2), uniform(6, 2)
    targets[::2] = 0
    expected = [
        (q if iou_weighted else 1) * cross_entropy(p, q)
        if q > 0
        else 0.6 * p**1.5 * cross_entropy(p, 0)
        for p, q in zip(
            logits.sigmoid().flatten().tolist(), targets.flatten().tolist(), strict=True
        )
    ]
    found = varifocal_loss(logits, targets, 0.6, 1.5, iou_weighted, reduction="none")
    torch.testing.assert_close(found.flatten(), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("iou_weighted", [True, False])
def test_varifocal_gradcheck(iou_weighted):
    logits = random(5, 3).requires_grad_()
    targets = uniform(5, 3) * (random(5, 3) > 0)
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: quality_focal_loss(x, torch.zeros(2).long(), torch.ones(3)), r"and \(3,\)"),
        (lambda x: varifocal_loss(x, torch.zeros(2, 4)), r"shape \(2, 3\), but got \(2, 4\)"),
        (lambda x: varifocal_loss(x, x, alpha=-1), "`alpha` to be a finite number >= 0"),
        (lambda x: distribution_focal_loss(x[:, :1], torch.zeros(2)), r"got \(2, 1\) and \(2,\)"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(random(2, 3))
