import pytest
import torch

from corrlight.criteria import (
    ClassificationLoss,
    DenseCriterion,
    DenseSample,
    FocalClassification,
    GIoUBoxLoss,
)
from corrlight.losses import centerness_target, giou_loss, sigmoid_focal_loss
from tests.helpers.dense_example import MATCH, NOTHING, PRIORS, predictions, run, targets


def criterion(**kwargs):
    options = {"box_weight": 2.0, "box_weighting": "centerness", "quality": "centerness"}
    options |= {"aux_head": "centerness"} | kwargs
    return DenseCriterion(FocalClassification(), GIoUBoxLoss(), **options)


def test_terms_of_a_batch_written_out():
    stage = predictions()
    terms = run(criterion(), stage)
    gt_boxes = targets()[0].boxes[[0, 0, 1]]
    weights = centerness_target(PRIORS[:3], gt_boxes)
    # Three positives; the image without any counts as one.
    labels = torch.tensor([1, 1, 2, 3, 3, 3, 3, 3, 3, 3])
    counted = torch.tensor([1.0, 1, 1, 1, 0, 1, 1, 1, 1, 1])
    cls = sigmoid_focal_loss(stage.logits.flatten(0, 1), labels, weights=counted, normalizer=4)
    box = 2 * giou_loss(stage.boxes[0, :3], gt_boxes, weights, normalizer=weights.sum())
    logits = stage.quality[0, :3]
    quality = torch.nn.functional.binary_cross_entropy_with_logits(logits, weights, reduction="sum")
    expected = {"loss_cls": cls, "loss_box": box, "loss_centerness": quality / 4}
    torch.testing.assert_close(terms, expected)


def test_invalid_hypotheses_do_not_count():
    stage = predictions()
    stage.valid[0, 3] = False
    gradient = torch.autograd.grad(run(criterion(), stage)["loss_cls"], stage.logits)[0]
    assert (gradient[0, 3:] == 0).all()
    assert (gradient[0, :3] != 0).all()
    assert (gradient[1] != 0).all()


def test_normalizers_are_passed_in():
    terms, halved = (run(criterion(), predictions(), factor=f) for f in (1.0, 2.0))
    for name, value in terms.items():
        torch.testing.assert_close(halved[name], value / 2)


def test_normalizers_are_at_least_one():
    terms = run(criterion(), predictions(), factor=0.0)
    stage = predictions()
    sums = criterion().normalizers(stage, targets(), MATCH)
    reference = run(criterion(), stage)
    torch.testing.assert_close(terms["loss_cls"], reference["loss_cls"] * sums["positives"])
    torch.testing.assert_close(terms["loss_box"], reference["loss_box"] * sums["box_weights"])


@pytest.mark.parametrize(
    ("counting", "cls_divisor", "other_divisor"),
    [("per_image", 4, 4), ("batch", 3, 3), ("added", 5, 3)],
)
@pytest.mark.parametrize("normalizer", ["local", "global"])
def test_what_the_losses_are_divided_by(counting, cls_divisor, other_divisor, normalizer):
    """Three positives in the first of two images."""
    options = {"counting": counting, "normalizer": normalizer, "box_weighting": "uniform"}
    terms = run(criterion(**options), predictions())
    reference = run(criterion(box_weighting="uniform"), predictions())  # all divided by 4
    for name, value in terms.items():
        divisor = cls_divisor if name == "loss_cls" else other_divisor
        torch.testing.assert_close(value * divisor, reference[name] * 4)


def test_a_batch_counts_at_least_its_images():
    terms = run(criterion(counting="batch"), predictions(), NOTHING)
    reference = run(criterion(counting="added"), predictions(), NOTHING)
    torch.testing.assert_close(terms, reference)
    assert terms["loss_cls"] > 0


def test_a_local_normalizer_asks_nothing_of_other_ranks():
    own = criterion(normalizer="local")
    assert own.normalizers(predictions(), targets(), MATCH) == {}
    assert criterion().normalizers(predictions(), targets(), MATCH)


def test_a_local_sum_of_box_weights_has_no_lower_bound():
    """The weighted mean of the box losses, however small the weights are."""
    stage = predictions()
    with torch.no_grad():
        stage.logits[0, :3] = -9.0  # scores of 1e-4
    options = {"box_weighting": "score", "quality": None, "aux_head": "none"}
    local, averaged = (
        run(criterion(normalizer=n, **options), stage)["loss_box"] for n in ("local", "global")
    )
    expected = 2 * giou_loss(stage.boxes[0, :3], targets()[0].boxes[[0, 0, 1]])
    torch.testing.assert_close(local, expected)
    assert averaged < 1e-3 * local


def test_without_positives_every_branch_still_has_a_gradient():
    stage = predictions()
    terms = run(criterion(), stage, NOTHING)
    assert terms["loss_cls"] > 0
    assert terms["loss_box"] == terms["loss_centerness"] == 0
    sum(terms.values()).backward()
    assert (stage.logits.grad != 0).all()
    assert (stage.boxes.grad == 0).all()
    assert (stage.quality.grad == 0).all()


@pytest.mark.parametrize("aux_head", ["none", "untrained", "centerness"])
def test_auxiliary_head(aux_head):
    stage = predictions(quality=aux_head != "none")
    terms = run(criterion(aux_head=aux_head), stage)
    reference = run(criterion(), predictions())
    assert terms["loss_box"] == reference["loss_box"]
    if aux_head == "none":
        assert "loss_centerness" not in terms
        return
    gradient = torch.autograd.grad(terms["loss_centerness"], stage.quality)[0]
    assert gradient.any() == (aux_head == "centerness")


def test_box_weightings():
    sample = DenseSample.collect(predictions(), targets(), MATCH)
    scores = sample.predictions.logits[0, :3].sigmoid()
    assert torch.equal(sample.box_weights("uniform"), torch.ones(3))
    torch.testing.assert_close(sample.box_weights("iou"), sample.positives.ious().detach())
    torch.testing.assert_close(sample.box_weights("score"), scores.amax(1).detach())
    softmax = DenseSample.collect(predictions(activation="softmax"), targets(), MATCH)
    rows = softmax.predictions.logits[0, :3].softmax(1)[:, :-1]
    torch.testing.assert_close(softmax.box_weights("score"), rows.amax(1).detach())
    for weighting in ("centerness", "iou", "score"):
        assert not sample.box_weights(weighting).requires_grad


class Balanced(ClassificationLoss):
    """A loss with its own weighting, balancing and state."""

    box_weighting = "score"

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, sample, num_positives, box_losses):
        assert box_losses.requires_grad
        return {"loss_rank": sample.predictions.logits.sum() * 0 + box_losses.sum()}

    def box_term(self, box_losses, weights, normalizer, terms):
        return (box_losses * weights).sum() * 0 + terms["loss_rank"]

    def after_step(self, terms):
        self.seen.append(terms)


def test_a_recipe_may_bring_its_own_weighting_balance_and_state():
    own = DenseCriterion(Balanced(), GIoUBoxLoss(), box_weighting="centerness")
    stage = predictions(quality=False)
    expected = DenseSample.collect(stage, targets(), MATCH).box_weights("score").sum()
    torch.testing.assert_close(own.normalizers(stage, targets(), MATCH)["box_weights"], expected)
    terms = run(own, stage)
    assert terms["loss_box"] == terms["loss_rank"]
    own.after_step(terms)
    assert own.classification.seen == [terms]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"box_weighting": "area"}, "`box_weighting`.*got 'area'"),
        ({"quality": "score"}, "`quality`.*got 'score'"),
        ({"box_weight": -1.0}, r"`box_weight`.*got -1\.0"),
        ({"quality_weight": float("nan")}, "`quality_weight`.*got nan"),
        ({"counting": "images"}, "`counting`.*got 'images'"),
        ({"normalizer": "batch"}, "`normalizer`.*got 'batch'"),
        ({"aux_head": "iou"}, "`aux_head`.*'centerness', but got 'iou'"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        criterion(**kwargs)


def test_what_the_classification_is_divided_by():
    """Three positives, one image with some and one without."""
    stage = predictions(quality=False)
    weights = centerness_target(PRIORS[:3], targets()[0].boxes[[0, 0, 1]]).sum()
    divisors = {
        "per_image": 4.0,
        "batch": 3.0,
        "added": 5.0,
        "positives": 3.0,
        "box_weights": max(float(weights), 1.0),
    }
    terms = {
        name: run(criterion(quality=None, aux_head="none", counting=name), stage)["loss_cls"]
        for name in divisors
    }
    total = terms["positives"] * 3
    for name, divisor in divisors.items():
        torch.testing.assert_close(terms[name] * divisor, total, msg=name)


def test_least_box_weight_and_padding():
    stage = predictions(quality=False)
    stage.valid[0, 3] = False
    options = {"quality": None, "aux_head": "none"}
    small = run(criterion(least_box_weight=1e-3, **options), stage, factor=1e-9)["loss_box"]
    large = run(criterion(**options), stage, factor=1e-9)["loss_box"]
    torch.testing.assert_close(small, large * 1000)
    terms = run(criterion(padding="background", **options), stage)
    gradient = torch.autograd.grad(terms["loss_cls"], stage.logits)[0]
    assert gradient[0, 3].any()
    assert not gradient[0, 4].any()  # ignored stays ignored
    with pytest.raises(ValueError, match=r"`padding`"):
        criterion(padding="zero")
    with pytest.raises(ValueError, match=r"`least_box_weight`.*got 0"):
        criterion(least_box_weight=0)
