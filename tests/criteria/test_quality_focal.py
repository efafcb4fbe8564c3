import pytest
import torch

from corrlight.boxes import paired_iou
from corrlight.criteria import DenseCriterion, GIoUBoxLoss, QualityFocalClassification
from corrlight.losses import giou_loss
from tests.helpers.dense_example import MATCH, NOTHING, predictions, run, targets


def criterion(**kwargs):
    return DenseCriterion(
        QualityFocalClassification(**kwargs), GIoUBoxLoss(), 2.0, "centerness", "centerness"
    )


def test_terms_written_out():
    stage = predictions(quality=False)
    terms = run(criterion(beta=1.5, weight=0.5), stage)
    gt_boxes = targets()[0].boxes[[0, 0, 1]]
    inter = (
        torch.minimum(stage.boxes[0, :3, 2:], gt_boxes[:, 2:])
        - torch.maximum(stage.boxes[0, :3, :2], gt_boxes[:, :2])
    ).clamp(min=0)
    areas = [(b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (stage.boxes[0, :3], gt_boxes)]
    overlap = inter.prod(1)
    ious = overlap / (areas[0] + areas[1] - overlap)
    target = torch.zeros(2, 5, 3)
    target[0, torch.arange(3), torch.tensor([1, 1, 2])] = ious.detach()
    p = stage.logits.sigmoid()
    values = -(target * p.log() + (1 - target) * (1 - p).log()) * (p - target).abs() ** 1.5
    values[0, 4] = 0  # ignored
    # Three positives, and the image without any counts as one.
    torch.testing.assert_close(terms["loss_cls"], 0.5 * values.sum() / 4)
    weights = p[0, :3].amax(1).detach()
    losses = giou_loss(stage.boxes[0, :3], gt_boxes, reduction="none")
    expected = 2 * (weights * losses).sum() / weights.sum().clamp(min=1)
    torch.testing.assert_close(terms["loss_box"], expected)
    assert set(terms) == {"loss_cls", "loss_box"}


def test_the_alignment_of_score_and_iou_is_target_weight_and_divisor():
    """Three positives: two of one object, one of another, each scaled to its object's best IoU."""
    stage = predictions(quality=False)
    own = QualityFocalClassification(quality="alignment")
    terms = run(DenseCriterion(own, GIoUBoxLoss(), counting="box_weights"), stage)
    labels, gt_boxes = torch.tensor([1, 1, 2]), targets()[0].boxes[[0, 0, 1]]
    p, boxes = stage.logits.sigmoid(), stage.boxes.detach()[0, :3]
    ious = paired_iou(boxes, gt_boxes)
    metric = p.detach()[0, torch.arange(3), labels] * ious**6
    best = torch.stack([metric[:2].max(), metric[:2].max(), metric[2]])
    best_iou = torch.stack([ious[:2].max(), ious[:2].max(), ious[2]])
    aligned = metric / (best + 1e-7) * best_iou
    target = torch.zeros(2, 5, 3)
    target[0, torch.arange(3), labels] = aligned
    values = -(target * p.log() + (1 - target) * (1 - p).log()) * (p - target).abs() ** 2
    values[0, 4] = 0  # ignored
    divisor = aligned.sum().clamp(min=1)
    torch.testing.assert_close(terms["loss_cls"], values.sum() / divisor)
    losses = giou_loss(stage.boxes[0, :3], gt_boxes, reduction="none")
    torch.testing.assert_close(terms["loss_box"], (aligned * losses).sum() / divisor)


def test_the_classifier_alone_learns_from_it():
    stage = predictions(quality=False)
    run(criterion(), stage)["loss_cls"].backward()
    assert stage.logits.grad.any()
    assert stage.boxes.grad is None


def test_without_positives():
    stage = predictions(quality=False)
    terms = run(criterion(), stage, NOTHING)
    sum(terms.values()).backward()
    assert terms["loss_cls"] > 0
    assert stage.logits.grad.isfinite().all()
    assert (stage.boxes.grad == 0).all()


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`quality`.*got 'score'"):
        QualityFocalClassification(quality="score")
    with pytest.raises(ValueError, match="`beta` to be a finite number >= 0, but got -1"):
        QualityFocalClassification(beta=-1)
    with pytest.raises(ValueError, match="`weight` to be a finite number >= 0, but got nan"):
        QualityFocalClassification(weight=float("nan"))
    with pytest.raises(
        ValueError, match=r"activation 'sigmoid' for the quality focal loss, .*softm"
    ):
        run(criterion(), predictions(False, "softmax"), MATCH)
