import pytest
import torch

from corrlight.criteria import ALRPClassification, DenseCriterion, GIoUBoxLoss
from corrlight.criteria.set_prediction import SetPredictionCriterion
from corrlight.losses import giou_loss
from tests.helpers.dense_example import MATCH, NOTHING, predictions, run, targets


def criterion(box_weight=2.0, **kwargs):
    return DenseCriterion(ALRPClassification(**kwargs), GIoUBoxLoss(), box_weight, "centerness")


def plain_alrp(s, errors, negatives, delta=1.0):
    """Return both parts by their definition, one positive at a time."""

    def step(x):
        return (x / (2 * delta) + 0.5).clamp(0, 1)

    precision, localisation = [], []
    for i in range(len(s)):
        others = torch.cat([s[:i], s[i + 1 :]])
        rank_pos = 1 + step(others - s[i]).sum()
        rank = rank_pos + step(negatives - s[i]).sum()
        precision.append(rank_pos / rank)
        localisation.append(errors[s >= s[i]].sum() / rank)
    return 1 - torch.stack(precision).mean(), torch.stack(localisation).mean()


def test_terms_written_out():
    stage = predictions(quality=False)
    terms = run(criterion(initial=3.0), stage)
    where = (0, torch.arange(3), torch.tensor([1, 1, 2]))
    negative = torch.ones(2, 5, 3, dtype=torch.bool)
    negative[where] = False
    negative[0, 4] = False  # ignored
    errors = giou_loss(stage.boxes[0, :3], targets()[0].boxes[[0, 0, 1]], reduction="none")
    logits = stage.logits.detach()
    classification, localisation = plain_alrp(logits[where], errors, logits[negative])
    torch.testing.assert_close(terms["loss_cls"], classification)
    torch.testing.assert_close(terms["loss_box"], 3 * localisation)
    assert terms["loss_box"].dtype == torch.float32
    # Boxes learn at constant ranks, which is what the formula typed out gives as well.
    expected = torch.autograd.grad(3 * localisation, stage.boxes, retain_graph=True)[0]
    (gradient,) = torch.autograd.grad(terms["loss_box"], stage.boxes, retain_graph=True)
    torch.testing.assert_close(gradient, expected)
    # The classification's gradient carries the errors of the boxes; the boxes see nothing of it.
    (to_logits,) = torch.autograd.grad(terms["loss_cls"], stage.logits)
    assert (to_logits[where] < 0).any()
    assert (to_logits[0, 4] == 0).all()


def test_box_weights_of_the_criterion_have_no_say():
    first, second = (run(criterion(w), predictions(quality=False)) for w in (1.0, 7.0))
    assert first["loss_box"] == second["loss_box"]


def test_self_balance_follows_the_means_of_a_period_and_is_in_the_checkpoint():
    own = criterion(initial=4.0, period=2)
    balance = own.classification.balance
    stage = predictions(quality=False)
    first = run(own, stage)
    assert balance.updates == 0  # calling changes nothing
    own.after_step(first)
    restored = criterion(initial=9.0, period=2)
    restored.load_state_dict(own.state_dict())
    for each in (own, restored):
        second = run(each, stage)
        torch.testing.assert_close(second["loss_box"], first["loss_box"])
        each.after_step(second)
        classification, localisation = first["loss_cls"], first["loss_box"] / 4
        expected = float((classification + localisation).detach() / localisation.detach())
        assert float(each.classification.balance.weight) == pytest.approx(expected, rel=1e-6)
        third = run(each, stage)["loss_box"]
        assert third.item() == pytest.approx(expected * localisation.item(), rel=1e-6)
    assert balance.updates == 2


def test_without_positives():
    own = criterion(period=1)
    stage = predictions(quality=False)
    terms = run(own, stage, NOTHING)
    sum(terms.values()).backward()
    assert all(value == 0 for value in terms.values())
    assert (stage.logits.grad == 0).all()
    assert (stage.boxes.grad == 0).all()
    own.after_step(terms)
    assert own.classification.balance.weight == 50  # nothing to weigh


def test_bad_arguments():
    with pytest.raises(ValueError, match="`initial` to be a finite number > 0, but got 0"):
        ALRPClassification(initial=0)
    with pytest.raises(ValueError, match="`period` to be an integer >= 1, but got 0"):
        ALRPClassification(period=0)
    with pytest.raises(ValueError, match="`delta` to be a finite number >= 0, but got -1"):
        ALRPClassification(delta=-1)
    with pytest.raises(ValueError, match="activation 'sigmoid' for aLRP Loss, but got 'softmax'"):
        run(criterion(), predictions(False, "softmax"), MATCH)
    with pytest.raises(ValueError, match="leave the box loss alone, but got ALRPClassification"):
        SetPredictionCriterion(ALRPClassification())
