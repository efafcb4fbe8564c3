import functools

import numpy as np
import pytest
import torch

from corrlight.detectors import GFL, GFLv2
from corrlight.detectors.one_stage.gflv2 import product_logit
from corrlight.losses import CorrelationLoss
from corrlight.structures import Match, Positives
from tests.detectors.build import batch_of, batch_with
from tests.detectors.build import build as build_dense

build = functools.partial(build_dense, GFLv2)


def spread(model):
    """Let distributions, scores and qualities differ from cell to cell."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for conv in (model.classifier, model.regressor, *model.quality_predictor[::2]):
            conv.weight.normal_(0, 0.3, generator=generator)
            conv.bias.normal_(0, 0.3, generator=generator)
    return model


def test_the_score_is_that_of_the_class_times_what_the_distribution_says():
    model, plain = spread(build(num_bins=7)), build_dense(GFL, num_bins=7)
    plain.load_state_dict(model.state_dict(), strict=False)
    (stage,), (before,) = model(batch_of()), plain(batch_of())
    for name in ("boxes", "deltas", "distribution"):
        torch.testing.assert_close(getattr(stage, name), getattr(before, name))
    assert stage.quality is None

    # Eq. 4 to 6, typed out: J = C x I, I = sigmoid(W2 relu(W1 F)).
    first, _, second = model.double().quality_predictor
    logits = before.distribution[1, 40].detach().double().numpy()  # a cell: (4, 8)
    features = []
    for side in logits:
        probabilities = np.exp(side) / np.exp(side).sum()
        top = sorted(probabilities, reverse=True)[:4]
        features += [*top, sum(top) / 4]
    hidden = first.weight[:, :, 0, 0].detach().numpy() @ np.array(features)
    hidden = np.maximum(hidden + first.bias.detach().numpy(), 0)
    quality = second.weight[0, :, 0, 0].detach().numpy() @ hidden + second.bias.item()
    quality = 1 / (1 + np.exp(-quality))
    expected = before.logits[1, 40].sigmoid().detach().double() * quality
    torch.testing.assert_close(stage.logits[1, 40].sigmoid().double(), expected)


def test_the_logit_of_the_product():
    a, b = torch.linspace(-14, 14, 57)[:, None].double(), torch.linspace(-9, 9, 19).double()
    expected = torch.logit(a.sigmoid() * b.sigmoid())
    torch.testing.assert_close(product_logit(a, b).double(), expected, rtol=1e-5, atol=1e-5)


def test_the_logit_of_the_product_is_finite_at_extremes_with_its_gradient():
    ends = [-1e30, -1e4, -100.0, -20.0, 0.0, 20.0, 100.0, 1e4, 1e30]
    a = torch.tensor(ends)[:, None].requires_grad_()
    b = torch.tensor(ends).requires_grad_()
    found = product_logit(a, b)
    found.sum().backward()
    assert found.isfinite().all()
    assert (a.grad.isfinite() & (a.grad >= 0)).all()
    assert (b.grad.isfinite() & (b.grad >= 0)).all()
    # Far out one factor alone is left; in the middle both count.
    assert found[6, 2].item() == pytest.approx(-100)
    assert found[2, 6].item() == pytest.approx(-100)
    assert found[2, 2].item() == pytest.approx(-200)
    assert found[4, 4].item() == pytest.approx(np.log(1 / 3))


def test_initial_scores_are_half_the_prior_as_published():
    (stage,) = build()(batch_of())
    assert 0.004 < float(stage.logits.detach().sigmoid().mean()) < 0.006


@pytest.mark.parametrize("detach", [False, True])
def test_the_correlation_loss_reaches_the_boxes_through_the_score_unless_detached(detach):
    model = spread(build(num_bins=7, detach_statistics=detach))
    batch = batch_with([[4.0, 5, 40, 44]], [[10, 8, 60, 50]])
    (stage,) = model(batch)
    gt_idx = torch.full(stage.logits.shape[:2], -1)
    gt_idx[:, 20:30] = 0
    positives = Positives.gather(stage, batch.targets, Match(gt_idx=gt_idx))
    CorrelationLoss("concordance", weight=0.2)(positives).backward()
    assert model.classifier.weight.grad.any()
    assert model.quality_predictor[0].weight.grad.any()
    reached = model.regressor.weight.grad
    assert (reached is None or not reached.any()) if detach else reached.any()


def test_half_precision_leaves_full_logits():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (stage,) = build()(batch_of())
    assert stage.logits.dtype == stage.boxes.dtype == torch.float32


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`num_top`.*at most 5.*`num_bins` 4.*got 6"):
        build(num_bins=4, num_top=6)
    with pytest.raises(ValueError, match=r"`num_top`.*got 0"):
        build(num_top=0)
    with pytest.raises(ValueError, match=r"`quality_channels`.*got 0"):
        build(quality_channels=0)
