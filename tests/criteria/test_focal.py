"""Focal loss of a batch against torchvision's operator."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from corrlight.criteria import DenseSample, FocalClassification
from tests.helpers.dense_example import MATCH, NOTHING, predictions, targets


def loss_of(stage, match=MATCH, divisor=1.0, **options):
    sample = DenseSample.collect(stage, targets(), match)
    return FocalClassification(**options)(sample, torch.tensor(divisor), torch.zeros(0))


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.4, 1.5)])
@pytest.mark.parametrize("invalid", [False, True])
def test_it_is_torchvisions_over_what_counts(alpha, gamma, invalid):
    stage = predictions()
    stage.valid[1, 2] = not invalid
    terms = loss_of(stage, divisor=4.0, alpha=alpha, gamma=gamma, weight=0.5)
    labels = torch.tensor([[1, 1, 2, 3, 3], [3] * 5])
    truth = F.one_hot(labels, 4)[..., :3].float()
    each = sigmoid_focal_loss(stage.logits, truth, alpha, gamma)
    counted = torch.ones(2, 5, 1)
    counted[0, 4] = 0  # ignored
    counted[1, 2] = not invalid
    torch.testing.assert_close(terms, {"loss_cls": 0.5 * (each * counted).sum() / 4})


def test_without_positives_negatives_have_a_gradient():
    stage = predictions()
    loss_of(stage, NOTHING)["loss_cls"].backward()
    assert (stage.logits.grad > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, r"`alpha` to be in \[0, 1\], but got 1.5"),
        ({"gamma": -1}, "`gamma` to be a finite number >= 0, but got -1"),
        ({"weight": float("inf")}, "`weight` to be a finite number >= 0, but got inf"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        FocalClassification(**options)


def test_softmax_scores_are_refused():
    with pytest.raises(ValueError, match="'sigmoid' for the focal loss, but got 'softmax'"):
        loss_of(predictions(activation="softmax"))
