import pytest
import torch

from corrlight.criteria import APClassification, DenseCriterion, FocalClassification, GIoUBoxLoss
from tests.helpers.dense_example import NOTHING, predictions, run


def criterion(classification=None):
    own = classification or APClassification()
    return DenseCriterion(own, GIoUBoxLoss(), 2.0, "centerness", "centerness", aux_head="none")


def plain_ap(positives, negatives, delta=1.0):
    """Return 1 - the mean interpolated precision, by its definition."""

    def step(x):
        return (x / (2 * delta) + 0.5).clamp(0, 1)

    precisions = {}
    for i, s in enumerate(positives):
        others = torch.cat([positives[:i], positives[i + 1 :]])
        rank = 1 + step(others - s).sum()
        precisions[float(s)] = float(rank / (rank + step(negatives - s).sum()))
    ascending = [precisions[s] for s in sorted(precisions)]
    best = [max(ascending[: k + 1]) for k in range(len(ascending))]
    return 1 - sum(best) / len(best)


def test_value_is_that_of_the_definition():
    stage = predictions(quality=False)
    terms = run(criterion(), stage)
    logits = stage.logits.detach().clone()
    positives = logits[0, torch.arange(3), torch.tensor([1, 1, 2])]
    counted = torch.ones(2, 5, 3, dtype=torch.bool)
    counted[0, torch.arange(3), torch.tensor([1, 1, 2])] = False
    counted[0, 4] = False  # ignored
    expected = plain_ap(positives, logits[counted])
    assert terms["loss_cls"].item() == pytest.approx(expected, rel=1e-5)
    # Boxes are the criterion's business.
    focal = run(criterion(FocalClassification()), predictions(quality=False))
    torch.testing.assert_close(terms["loss_box"], focal["loss_box"])


def test_ignored_and_invalid_hypotheses_do_not_count():
    stage = predictions(quality=False)
    stage.valid[1, 1] = False
    run(criterion(), stage)["loss_cls"].backward()
    assert (stage.logits.grad[0, 4] == 0).all()
    assert (stage.logits.grad[1, 1] == 0).all()
    positives = stage.logits.grad[0, torch.arange(3), torch.tensor([1, 1, 2])]
    assert (positives < 0).all()
    # What positives receive, the negatives pay.
    assert stage.logits.grad.sum().abs() < 1e-6


def test_weight_scales_the_term():
    full, half = (
        run(criterion(APClassification(weight=w)), predictions(quality=False)) for w in (1.0, 0.5)
    )
    torch.testing.assert_close(half["loss_cls"], full["loss_cls"] / 2)


def test_without_positives():
    stage = predictions(quality=False)
    terms = run(criterion(), stage, NOTHING)
    sum(terms.values()).backward()
    assert terms["loss_cls"] == 0
    assert (stage.logits.grad == 0).all()


def test_bad_arguments():
    with pytest.raises(ValueError, match="`delta` to be a finite number >= 0, but got -1"):
        APClassification(delta=-1)
    with pytest.raises(ValueError, match="`weight` to be a finite number >= 0, but got inf"):
        APClassification(weight=float("inf"))
    with pytest.raises(ValueError, match="activation 'sigmoid' for AP Loss, but got 'softmax'"):
        run(criterion(), predictions(False, "softmax"))
