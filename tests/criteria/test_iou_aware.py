import pytest
import torch

from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from corrlight.criteria import (
    DenseCriterion,
    GIoUBoxLoss,
    IoUAwareClassification,
    MatchabilityAwareClassification,
    SetPredictionCriterion,
    VarifocalClassification,
)
from corrlight.losses import giou_loss
from tests.helpers.dense_example import NOTHING, predictions, run, targets


def dense(loss):
    return DenseCriterion(loss, GIoUBoxLoss(), 2.0, "centerness", "centerness")


def overlaps(stage):
    """The IoU of the three positives, written out."""
    boxes, gt_boxes = stage.boxes[0, :3].detach(), targets()[0].boxes[[0, 0, 1]]
    low = torch.maximum(boxes[:, :2], gt_boxes[:, :2])
    inner = (torch.minimum(boxes[:, 2:], gt_boxes[:, 2:]) - low).clamp(min=0).prod(1)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (boxes, gt_boxes)]
    return inner / (areas[0] + areas[1] - inner)


def test_varifocal_terms_written_out():
    stage = predictions(quality=False)
    loss = VarifocalClassification(alpha=0.6, gamma=1.5, weight=0.5)
    terms = run(dense(loss), stage)
    q, p = overlaps(stage), stage.logits.sigmoid()
    values = -0.6 * p**1.5 * (1 - p).log()
    where = (0, torch.arange(3), torch.tensor([1, 1, 2]))
    values[where] = -q * (q * p[where].log() + (1 - q) * (1 - p[where]).log())
    values[0, 4] = 0  # ignored
    # Three positives, and the image without any counts as one.
    torch.testing.assert_close(terms["loss_cls"], 0.5 * values.sum() / 4)
    losses = giou_loss(stage.boxes[0, :3], targets()[0].boxes[[0, 0, 1]], reduction="none")
    torch.testing.assert_close(terms["loss_box"], 2 * (q * losses).sum() / q.sum().clamp(min=1))


def written_out(stage, target, focus):
    """The sum over all elements but the ignored row's."""
    p = stage.logits.sigmoid()
    values = -focus(p) * (1 - p).log()
    where = (0, torch.arange(3), torch.tensor([1, 1, 2]))
    values[where] = -target * p[where].log() - (1 - target) * (1 - p[where]).log()
    values[0, 4] = 0
    return values.sum()


def test_matchability_aware_loss_written_out():
    stage = predictions(quality=False)
    own = SetPredictionCriterion(MatchabilityAwareClassification(gamma=1.3, weight=0.5))
    loss = run(own, stage)["loss_cls"]
    expected = written_out(stage, overlaps(stage) ** 1.3, lambda p: p.detach() ** 1.3)
    torch.testing.assert_close(loss, 2 * 0.5 * expected / 3)
    gradients = [torch.autograd.grad(x, stage.logits)[0] for x in (loss, expected / 3)]
    torch.testing.assert_close(*gradients)


def test_iou_aware_loss_written_out():
    stage = predictions(quality=False)
    own = SetPredictionCriterion(IoUAwareClassification(alpha=0.4, gamma=1.5))
    loss = run(own, stage)["loss_cls"]
    scores = stage.logits.detach()[0, torch.arange(3), torch.tensor([1, 1, 2])].sigmoid()
    target = scores**0.4 * overlaps(stage) ** 0.6
    expected = written_out(stage, target, lambda p: p**1.5)
    torch.testing.assert_close(loss, 2 * expected / 3)
    gradients = [torch.autograd.grad(x, stage.logits)[0] for x in (loss, 2 * expected / 3)]
    torch.testing.assert_close(*gradients)


def test_a_box_beside_its_object_keeps_a_small_target():
    loss = IoUAwareClassification()
    assert loss.targets(torch.tensor([0.5]), torch.zeros(1)).tolist() == pytest.approx([0.01])


@pytest.mark.parametrize("name", ["mal", "ia_bce"])
def test_set_detectors_with_a_sigmoid_take_it_and_others_refuse_it(name):
    module = build_module(compose_config(["detector=sparse_rcnn_small", f"loss={name}"]).config)
    assert isinstance(module.criterion.classification, LOSSES[name])
    with pytest.raises(ValueError, match=r"made by softmax.*another choice of `loss` fits"):
        build_module(compose_config(["detector=detr_small", f"loss={name}"]).config)


LOSSES = {
    "varifocal": VarifocalClassification,
    "mal": MatchabilityAwareClassification,
    "ia_bce": IoUAwareClassification,
}


@pytest.mark.parametrize("loss", LOSSES.values())
def test_the_classifier_alone_learns_from_it(loss):
    stage = predictions(quality=False)
    run(dense(loss()), stage)["loss_cls"].backward()
    assert stage.logits.grad.any()
    assert stage.boxes.grad is None


@pytest.mark.parametrize("loss", LOSSES.values())
def test_without_positives(loss):
    stage = predictions(quality=False)
    terms = run(dense(loss()), stage, NOTHING)
    sum(terms.values()).backward()
    assert terms["loss_cls"] > 0
    assert stage.logits.grad.isfinite().all()


def test_bad_arguments():
    for loss in (MatchabilityAwareClassification, IoUAwareClassification):
        with pytest.raises(ValueError, match="`gamma` to be a finite number >= 0, but got -1"):
            loss(gamma=-1)
    with pytest.raises(ValueError, match="`alpha`"):
        IoUAwareClassification(alpha=2)
    for name in ("alpha", "gamma", "weight"):
        with pytest.raises(ValueError, match=f"`{name}` to be a finite number >= 0, but got -1"):
            VarifocalClassification(**{name: -1})
