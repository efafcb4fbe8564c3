import dataclasses

import pytest
import torch

from corrlight.criteria import (
    ALRPClassification,
    BinaryCrossEntropyClassification,
    CrossEntropyClassification,
    DenseCriterion,
    FocalClassification,
    GIoUBoxLoss,
    TwoStageCriterion,
)
from tests.helpers.dense_example import predictions, run


def parts():
    first = DenseCriterion(BinaryCrossEntropyClassification(), GIoUBoxLoss(), counting="counted")
    return first, DenseCriterion(FocalClassification(), GIoUBoxLoss(), box_weighting="centerness")


def test_each_stage_has_its_criterion_and_the_first_its_weight():
    first, then = parts()
    both, stage = TwoStageCriterion(first, then, proposal_weight=0.25), predictions()
    proposing = dataclasses.replace(stage, proposes=True)
    torch.testing.assert_close(run(both, stage), run(then, stage))
    expected = {name: value / 4 for name, value in run(first, proposing).items()}
    torch.testing.assert_close(run(both, proposing), expected)
    assert set(both.needs) == {"priors"}
    assert both.activation == "sigmoid"


def test_after_step_takes_the_weight_out_again():
    alrp = [DenseCriterion(ALRPClassification(period=10), GIoUBoxLoss()) for _ in range(2)]
    both = TwoStageCriterion(*alrp, proposal_weight=0.5)
    values = {"loss_cls": 0.5, "loss_box": 25.0}
    terms = {f"stage{i}/{k}": torch.tensor(v) for i in range(2) for k, v in values.items()}
    both.after_step(terms)
    sums = [own.classification.balance.sums.tolist() for own in alrp]
    assert sums == [[1.0, 1.0], [0.5, 0.5]]
    TwoStageCriterion(*alrp, proposal_weight=0).after_step(terms)
    assert alrp[0].classification.balance.sums.tolist() == sums[0]


def test_what_proposals_do_not_have_is_refused():
    first, then = parts()
    rated = DenseCriterion(FocalClassification(), GIoUBoxLoss(), quality="iou", aux_head="iou")
    with pytest.raises(ValueError, match=r"`proposals`.*that needs quality"):
        TwoStageCriterion(rated, then)
    softmax = DenseCriterion(CrossEntropyClassification(), GIoUBoxLoss())
    with pytest.raises(ValueError, match=r"`proposals`.*for softmax that needs nothing"):
        TwoStageCriterion(softmax, then)
    with pytest.raises(ValueError, match=r"`proposal_weight`.*got -1"):
        TwoStageCriterion(first, then, -1)
