"""Cross-entropy against PyTorch's own, weighted by class."""

import pytest
import torch
import torch.nn.functional as F

from corrlight.criteria import CrossEntropyClassification, DenseSample
from tests.helpers.dense_example import MATCH, NOTHING, predictions, targets


def sample(match=MATCH, activation="softmax"):
    stage = predictions(activation=activation)
    stage.valid[1, 2] = False
    return DenseSample.collect(stage, targets(), match)


# Class of each hypothesis, 3 for background; -100 for what is ignored or invalid.
LABELS = torch.tensor([[1, 1, 2, 3, -100], [3, 3, -100, 3, 3]]).flatten()


@pytest.mark.parametrize("background", [0.1, 1.0, 0.0])
def test_it_is_torchs_with_class_weights(background):
    own, loss = sample(), CrossEntropyClassification(background, weight=2.0)
    weights = torch.tensor([1.0, 1, 1, background])
    expected = F.cross_entropy(own.predictions.logits.flatten(0, 1), LABELS, weights)
    divisor = loss.own_normalizer(own)
    assert float(divisor) == pytest.approx(3 + 5 * background)
    terms = loss(own, divisor, torch.zeros(0))
    torch.testing.assert_close(terms, {"loss_cls": 2 * expected})


def test_without_positives_there_is_background_alone():
    own, loss = sample(NOTHING), CrossEntropyClassification()
    assert float(loss.own_normalizer(own)) == pytest.approx(0.9)
    loss(own, torch.tensor(1.0), torch.zeros(0))["loss_cls"].backward()
    gradient = own.predictions.logits.grad
    assert (gradient[1, 2] == 0).all()
    assert (gradient[0, :, 3] < 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precisions_are_computed_in_single(dtype):
    own = sample()
    low = own.predictions.logits.detach().to(dtype)
    object.__setattr__(own.predictions, "logits", low)
    value = CrossEntropyClassification()(own, torch.tensor(1.0), torch.zeros(0))["loss_cls"]
    assert value.dtype == torch.float32


def test_bad_arguments():
    with pytest.raises(ValueError, match="`background_weight` to be a finite number >= 0"):
        CrossEntropyClassification(-0.1)
    with pytest.raises(ValueError, match="'softmax' for cross-entropy, but got 'sigmoid'"):
        CrossEntropyClassification()(sample(activation="sigmoid"), torch.tensor(1), torch.zeros(0))
