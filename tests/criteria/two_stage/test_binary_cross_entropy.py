import pytest
import torch
import torch.nn.functional as F

from corrlight.criteria import BinaryCrossEntropyClassification, DenseCriterion, GIoUBoxLoss
from corrlight.structures import IGNORED
from tests.helpers.dense_example import MATCH, NOTHING, predictions, run, targets


def test_equals_the_sum_over_what_counts_over_their_number():
    stage = predictions()
    own = BinaryCrossEntropyClassification(weight=2.0)
    terms = run(DenseCriterion(own, GIoUBoxLoss(), counting="counted", normalizer="local"), stage)
    expected = torch.zeros(())
    labels = torch.zeros(2, 5, 3)
    labels[0, 0, 1] = labels[0, 1, 1] = labels[0, 2, 2] = 1  # labels of objects 0 and 1: 1 and 2
    for b, i in zip(*(MATCH.gt_idx != IGNORED).nonzero(as_tuple=True), strict=True):
        expected = expected + F.binary_cross_entropy_with_logits(
            stage.logits[b, i], labels[b, i], reduction="sum"
        )
    torch.testing.assert_close(terms["loss_cls"], 2 * expected / 9)
    positives = [(0, 0), (0, 1), (0, 2)]
    gious = run(DenseCriterion(own, GIoUBoxLoss(), counting="positives"), stage)["loss_box"]
    torch.testing.assert_close(terms["loss_box"], gious * len(positives) / 9)


def test_each_image_has_at_least_one_of_either_where_asked():
    own, stage = BinaryCrossEntropyClassification(), predictions()
    plain, least = (
        run(DenseCriterion(own, GIoUBoxLoss(), counting=kind), stage, NOTHING)["loss_cls"]
        for kind in ("counted", "counted_per_image")
    )
    torch.testing.assert_close(least * 12, plain * 10)  # 10 negatives, no positive in 2 images


def test_softmax_is_refused():
    criterion = DenseCriterion(BinaryCrossEntropyClassification(), GIoUBoxLoss())
    assert criterion.activation == "sigmoid"
    with pytest.raises(ValueError, match="for binary cross-entropy, but got 'softmax'"):
        run(criterion, predictions(activation="softmax"))
    with pytest.raises(ValueError, match=r"`weight`.*got -1"):
        BinaryCrossEntropyClassification(-1)
    assert len(targets()) == 2
