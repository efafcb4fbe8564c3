import pytest
import torch

from corrlight.postprocess.scores import class_scores
from corrlight.structures import Predictions, ScoreOverride


def predictions(activation, columns):
    torch.manual_seed(0)
    return Predictions(
        logits=torch.randn(2, 4, columns),
        boxes=torch.zeros(2, 4, 4),
        level_idx=torch.zeros(4, dtype=torch.int64),
        activation=activation,
        valid=torch.tensor([[True] * 4, [True, True, False, True]]),
    )


@pytest.mark.parametrize(("activation", "columns"), [("sigmoid", 3), ("softmax", 4)])
def test_scores_are_probabilities_and_minus_1_outside(activation, columns):
    given = predictions(activation, columns)
    before = given.logits.clone()
    scores = class_scores(given)
    expected = 1 / (1 + (-before).exp())
    if activation == "softmax":
        expected = (before.exp() / before.exp().sum(-1, keepdim=True))[..., :3]
    expected[1, 2] = -1
    torch.testing.assert_close(scores, expected)
    override = ScoreOverride(
        image_idx=torch.tensor([0, 1]),
        pred_idx=torch.tensor([1, 2]),
        label=torch.tensor([2, 0]),
        score=torch.tensor([0.25, 0.75]),
    )
    replaced = class_scores(given, override)
    expected[0, 1, 2] = 0.25  # the other one lies outside
    torch.testing.assert_close(replaced, expected)
    assert torch.equal(given.logits, before)
