import dataclasses

import pytest
import torch

from corrlight.boxes import DeltaCoder, DistanceCoder
from corrlight.criteria import DenseSample, GIoUBoxLoss, SmoothL1BoxLoss
from corrlight.losses import giou_loss
from tests.helpers.dense_example import MATCH, NOTHING, PRIORS, predictions, targets

GT_BOXES = targets()[0].boxes[[0, 0, 1]]


def sample(coder, match=MATCH):
    stage = predictions()
    deltas = coder.encode(PRIORS, stage.boxes.detach()).requires_grad_()
    return DenseSample.collect(dataclasses.replace(stage, deltas=deltas), targets(), match)


def test_giou():
    own = sample(DeltaCoder())
    expected = giou_loss(own.predictions.boxes[0, :3], GT_BOXES, reduction="none")
    torch.testing.assert_close(GIoUBoxLoss()(own), expected)


@pytest.mark.parametrize("coder", [DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2)), DistanceCoder()])
@pytest.mark.parametrize("beta", [0.0, 0.11, 1.0])
def test_smooth_l1_is_summed_over_the_encoded_numbers(coder, beta):
    own = sample(coder)
    deltas = own.predictions.deltas
    distance = (deltas[0, :3] - coder.encode(PRIORS[:3], GT_BOXES)).abs()
    expected = distance
    if beta:
        parabola = distance**2 / (2 * beta)
        expected = torch.where(distance < beta, parabola, distance - beta / 2)
    losses = SmoothL1BoxLoss(coder, beta)(own)
    torch.testing.assert_close(losses, expected.sum(1))
    (gradient,) = torch.autograd.grad(losses.sum(), deltas)
    assert gradient[0, :3].any(1).all()
    assert not gradient[0, 3:].any()


def test_without_positives_the_losses_are_attached():
    own = sample(DeltaCoder(), NOTHING)
    loss = SmoothL1BoxLoss(DeltaCoder())(own).sum()
    assert loss == 0
    assert torch.autograd.grad(loss, own.predictions.deltas)[0].eq(0).all()


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`beta`.*got -1\.0"):
        SmoothL1BoxLoss(DeltaCoder(), -1.0)
    without = DenseSample.collect(predictions(), targets(), MATCH)
    with pytest.raises(ValueError, match=r"`predictions\.deltas`.*got None"):
        SmoothL1BoxLoss(DeltaCoder())(without)
