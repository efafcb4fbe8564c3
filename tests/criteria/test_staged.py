import pytest
import torch

from corrlight.criteria import (
    DenseCriterion,
    FocalClassification,
    GIoUBoxLoss,
    QualityFocalClassification,
    StagedCriterion,
)
from tests.helpers.dense_example import predictions, run


def parts():
    first = DenseCriterion(FocalClassification(), GIoUBoxLoss(), box_weighting="centerness")
    aligned = QualityFocalClassification(quality="alignment")
    return first, DenseCriterion(aligned, GIoUBoxLoss(), counting="box_weights")


def test_the_first_epochs_have_the_first_criterion():
    first, then = parts()
    staged, stage = StagedCriterion(first, then, epochs=1), predictions()
    expected = [run(own, stage) for own in (first, then)]
    assert not torch.equal(expected[0]["loss_cls"], expected[1]["loss_cls"])
    torch.testing.assert_close(run(staged, stage), expected[1])
    for epoch in (0, 1, 0):
        staged.start_epoch(epoch)
        torch.testing.assert_close(run(staged, stage), expected[epoch])


def test_it_asks_for_what_either_asks_for():
    staged = StagedCriterion(*parts(), epochs=1)
    assert set(staged.needs) == {"priors"}
    assert staged.activation == "sigmoid"


def test_after_step_reaches_the_criterion_of_the_epoch():
    first, then = parts()
    seen = []
    first.after_step = lambda terms: seen.append("first")
    then.after_step = lambda terms: seen.append("then")
    staged = StagedCriterion(first, then, epochs=1)
    for epoch in (0, 1):
        staged.start_epoch(epoch)
        staged.after_step({})
    assert seen == ["first", "then"]


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`epochs`.*got -1"):
        StagedCriterion(*parts(), epochs=-1)
