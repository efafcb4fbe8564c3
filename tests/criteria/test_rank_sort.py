import pytest
import torch

from corrlight.criteria import DenseCriterion, GIoUBoxLoss, RankSortClassification
from corrlight.losses import giou_loss, rank_sort_loss
from corrlight.structures import Match
from tests.helpers.dense_example import MATCH, NOTHING, predictions, run, targets


def criterion(box_weight=2.0, **kwargs):
    return DenseCriterion(RankSortClassification(**kwargs), GIoUBoxLoss(), box_weight, "centerness")


def plain_rank_sort(s, t, negatives, delta=0.5):
    """Return both parts by their definition, one positive at a time."""

    def step(x):
        return (x / (2 * delta) + 0.5).clamp(0, 1)

    ranking, sorting = [], []
    for i in range(len(s)):
        among, false = step(s - s[i]), step(negatives - s[i]).sum()
        ranking.append(false / (among.sum() + false))
        better = among * (t >= t[i])
        current = (among * (1 - t)).sum() / among.sum()
        sorting.append(current - (better * (1 - t)).sum() / better.sum())
    return torch.stack(ranking).mean(), torch.stack(sorting).mean()


def test_terms_written_out():
    stage = predictions(quality=False)
    terms = run(criterion(), stage)
    gt_boxes = targets()[0].boxes[[0, 0, 1]]
    where = (0, torch.arange(3), torch.tensor([1, 1, 2]))
    negative = torch.ones(2, 5, 3, dtype=torch.bool)
    negative[where] = False
    negative[0, 4] = False  # ignored
    boxes = stage.boxes[0, :3].detach()
    inter = (
        torch.minimum(boxes[:, 2:], gt_boxes[:, 2:]) - torch.maximum(boxes[:, :2], gt_boxes[:, :2])
    ).clamp(min=0)
    areas = [(b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (boxes, gt_boxes)]
    ious = inter.prod(1) / (areas[0] + areas[1] - inter.prod(1))
    logits = stage.logits.detach()
    ranking, sorting = plain_rank_sort(logits[where], ious, logits[negative])
    torch.testing.assert_close(terms["loss_rank"], ranking)
    torch.testing.assert_close(terms["loss_sort"], sorting)
    # The box loss has the value of both, and the direction of the score-weighted mean.
    torch.testing.assert_close(terms["loss_box"], ranking + sorting)
    (gradient,) = torch.autograd.grad(terms["loss_box"], stage.boxes)
    weights = logits[0, :3].sigmoid().amax(1)
    other = predictions(quality=False)
    box = giou_loss(other.boxes[0, :3], gt_boxes, weights, reduction="sum")
    (direction,) = torch.autograd.grad(box, other.boxes)
    torch.testing.assert_close(gradient, direction * (ranking + sorting) / box.detach())


def test_box_weights_of_the_criterion_have_no_say():
    first, second = (run(criterion(w), predictions(quality=False)) for w in (1.0, 7.0))
    assert first["loss_box"] == second["loss_box"]


def test_a_positive_without_overlap_stays_a_positive():
    """Deviation: the published head makes it a negative, as the function does for a target of 0."""
    stage = predictions(quality=False)
    with torch.no_grad():
        stage.boxes[0, 0] = torch.tensor([70.0, 70, 79, 79])
    terms = run(criterion(), stage)
    gradient = torch.autograd.grad(terms["loss_rank"], stage.logits)[0]
    assert gradient[0, 0, 1] < 0
    flat = torch.zeros(2, 5, 3)
    flat[0, 4] = -1
    flat[0, [1, 2], [1, 2]] = 0.5
    published = rank_sort_loss(stage.logits, flat)[0]
    assert torch.autograd.grad(published, stage.logits)[0][0, 0, 1] >= 0


def test_perfect_boxes_and_order_give_zeros():
    stage = predictions(quality=False)
    match = Match(gt_idx=torch.tensor([[0, 1, -1, -1, -1], [-1] * 5]))
    with torch.no_grad():
        stage.boxes[0, :2] = targets()[0].boxes
        stage.logits.fill_(-9)
        stage.logits[0, [0, 1], [1, 2]] = 9
    terms = run(criterion(), stage, match)
    assert all(value == 0 for value in terms.values())
    sum(terms.values()).backward()
    assert stage.boxes.grad.isfinite().all()


def test_without_positives():
    stage = predictions(quality=False)
    terms = run(criterion(), stage, NOTHING)
    sum(terms.values()).backward()
    assert all(value == 0 for value in terms.values())
    assert (stage.logits.grad == 0).all()
    assert (stage.boxes.grad == 0).all()


def test_bad_arguments():
    with pytest.raises(ValueError, match="`delta` to be a finite number >= 0, but got nan"):
        RankSortClassification(delta=float("nan"))
    with pytest.raises(ValueError, match="activation 'sigmoid' for Rank & Sort Loss, but got 'sof"):
        run(criterion(), predictions(False, "softmax"), MATCH)
