"""What classification and box losses see."""

from dataclasses import replace

import pytest
import torch

from corrlight.criteria import DenseSample
from corrlight.losses import centerness_target
from tests.helpers.dense_example import MATCH, NOTHING, NUM_CLASSES, PRIORS, predictions, targets

WHERE = (torch.tensor([0, 0, 0]), torch.tensor([0, 1, 2]), torch.tensor([1, 1, 2]))


def sample(match=MATCH, **options):
    return DenseSample.collect(predictions(**options), targets(), match)


def test_labels_of_positives_background_and_what_does_not_count():
    stage = predictions()
    stage.valid[1, 4] = False
    own = DenseSample.collect(stage, targets(), MATCH)
    assert own.labels.tolist() == [[1, 1, 2, 3, 3], [3] * 5]
    assert own.counted.tolist() == [[True, True, True, True, False], [True] * 4 + [False]]
    assert torch.equal(own.priors, PRIORS[:3])


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_box_weights(activation):
    own = sample(activation=activation)
    logits = own.predictions.logits[0, :3].detach()
    best = logits.sigmoid() if activation == "sigmoid" else logits.softmax(-1)[:, :-1]
    expected = {
        "uniform": torch.ones(3),
        "score": best.amax(1),
        "iou": own.positives.ious(),
        "centerness": centerness_target(PRIORS[:3], targets()[0].boxes[[0, 0, 1]]),
    }
    for weighting, weights in expected.items():
        found = own.box_weights(weighting)
        torch.testing.assert_close(found, weights.detach())
        assert not found.requires_grad, weighting
        assert sample(NOTHING, activation=activation).box_weights(weighting).shape == (0,)


def test_class_targets():
    values = torch.tensor([0.25, 0.5, 0.75])
    expected = torch.zeros(2, 5, NUM_CLASSES)
    expected[WHERE] = values
    expected[0, 4] = -1  # ignored
    assert torch.equal(sample().class_targets(values), expected)
    expected[WHERE] = 1
    assert torch.equal(sample().class_targets(1.0), expected)


def test_priors_are_those_of_positives_alone():
    own = sample()
    moved = replace(own, predictions=replace(own.predictions, priors=PRIORS + 1))
    assert torch.equal(moved.priors, PRIORS[:3] + 1)


def test_the_activation_is_asked_for_by_name():
    own = sample(activation="softmax")
    own.check_activation(None, "anything")
    own.check_activation("softmax", "cross-entropy")
    with pytest.raises(ValueError, match="'sigmoid' for the focal loss, but got 'softmax'"):
        own.check_activation("sigmoid", "the focal loss")
