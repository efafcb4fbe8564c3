import numpy as np
import pytest
import torch

from corrlight.criteria import DenseSample, HardNegativeCrossEntropy
from corrlight.structures import BACKGROUND, IGNORED, Match, Predictions, Targets


def sample(seed=0, activation="softmax") -> DenseSample:
    """Two images of 12 hypotheses and 3 classes; the second has no object."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 12, 4 if activation == "softmax" else 3, generator=generator) * 2
    predictions = Predictions(
        logits=logits.requires_grad_(),
        boxes=torch.rand(2, 12, 4, generator=generator),
        level_idx=torch.zeros(12, dtype=torch.long),
        activation=activation,
        valid=torch.ones(2, 12, dtype=torch.bool),
    )
    predictions.valid[0, 11] = False
    gt_idx = torch.full((2, 12), BACKGROUND)
    gt_idx[0, [1, 4]] = torch.tensor([1, 0])
    gt_idx[0, [2, 3]] = IGNORED
    targets = tuple(
        Targets(
            boxes=torch.rand(n, 4),
            labels=torch.tensor([2, 0])[:n],
            valid_size=(8, 8),
            padded_size=(8, 8),
            original_size=(8, 8),
            image_id=i,
        )
        for i, n in enumerate((2, 0))
    )
    return DenseSample.collect(predictions, targets, Match(gt_idx=gt_idx))


def loss_of(own: DenseSample, num_positives=3.0, **options) -> torch.Tensor:
    criterion = HardNegativeCrossEntropy(**options)
    return criterion(own, torch.tensor(num_positives), torch.zeros(0))["loss_cls"]


@pytest.mark.parametrize("ratio", [1, 2, 3, 50])
def test_written_out(ratio) -> None:
    own = sample()
    log_p = own.predictions.logits.detach().double().log_softmax(-1).numpy()
    total = -log_p[0, 1, 0] - log_p[0, 4, 2]
    negatives = [-log_p[0, n, 3] for n in range(11) if n not in (1, 2, 3, 4)]
    total += sum(sorted(negatives, reverse=True)[: 2 * ratio])
    total -= log_p[1, :, 3].sum()  # no positive: all negatives
    loss = loss_of(own, negatives_per_positive=ratio)
    assert loss.item() == pytest.approx(total / 3, rel=1e-5)


def test_ignored_invalid_and_easy_hypotheses_have_no_gradient() -> None:
    own = sample()
    loss_of(own, negatives_per_positive=1).backward()
    touched = own.predictions.logits.grad.abs().sum(-1) > 0
    assert touched[0].sum() == 4
    assert touched[0, [1, 4]].all()
    assert not touched[0, [2, 3, 11]].any()
    assert touched[1].all()
    np.testing.assert_array_equal(touched, HardNegativeCrossEntropy(1).chosen(own))


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="`negatives_per_positive` to be at least 1, but got 0"):
        HardNegativeCrossEntropy(0)
    with pytest.raises(ValueError, match="'softmax' for cross-entropy, but got 'sigmoid'"):
        loss_of(sample(activation="sigmoid"))
