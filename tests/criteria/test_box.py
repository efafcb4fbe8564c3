import dataclasses

import pytest
import torch

from corrlight.boxes import DeltaCoder, DistanceCoder, SideCoder, paired_iou
from corrlight.criteria import (
    CoarseBoxLoss,
    DenseCriterion,
    DenseSample,
    DistributionBoxLoss,
    FocalClassification,
    GIoUBoxLoss,
    SmoothL1BoxLoss,
)
from corrlight.losses import giou_loss
from tests.helpers.dense_example import MATCH, NOTHING, PRIORS, predictions, run, targets

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


def test_distribution_loss_is_the_cross_entropy_of_the_two_bins_around():
    coder = SideCoder(units=4)
    generator = torch.Generator().manual_seed(0)
    bins = torch.randn(2, 5, 4, 6, generator=generator).requires_grad_()
    stage = dataclasses.replace(predictions(), distribution=bins)
    own = DenseSample.collect(stage, targets(), MATCH)
    losses = DistributionBoxLoss(coder)(own)
    for k in range(3):
        expected = 0.0
        for side, distance in enumerate(coder.encode(PRIORS[k], GT_BOXES[k]).tolist()):
            low = int(min(max(distance, 0), 4.9))
            share = min(max(distance, 0), 4.9) - low
            log = bins[0, k, side].log_softmax(0)
            expected = expected - (1 - share) * log[low] - share * log[low + 1]
        torch.testing.assert_close(losses[k], expected / 4)


def test_coarse_boxes_weigh_their_own_iou():
    stage = predictions()
    coarse = (stage.boxes.detach() + 4).requires_grad_()
    own = DenseSample.collect(dataclasses.replace(stage, coarse_boxes=coarse), targets(), MATCH)
    loss = CoarseBoxLoss(weight=1.5)
    expected = giou_loss(coarse[0, :3], GT_BOXES, reduction="none")
    torch.testing.assert_close(loss(own), expected)
    weights = loss.own_weights(own)
    torch.testing.assert_close(weights, paired_iou(coarse[0, :3], GT_BOXES).detach())
    terms = run(
        DenseCriterion(FocalClassification(), GIoUBoxLoss(), extra={"rough": loss}), own.predictions
    )
    total = (weights * expected).sum() / weights.sum().clamp(min=1)
    torch.testing.assert_close(terms["loss_rough"], 1.5 * total)


def test_extra_losses_need_their_fields_and_a_weight():
    criterion = DenseCriterion(FocalClassification(), GIoUBoxLoss(), extra={"c": CoarseBoxLoss()})
    assert "coarse_boxes" in criterion.needs
    with pytest.raises(ValueError, match="`weight` to be a finite number >= 0, but got -1"):
        CoarseBoxLoss(weight=-1)
