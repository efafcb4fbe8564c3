"""A library's own loss and matching."""

import dataclasses

import pytest
import torch

from corrlight.guests import OwnAssigner, OwnCriterion, OwnPredictions
from corrlight.structures import Match, Positives, Predictions
from tests.detectors.build import batch_with


def stage(**more):
    made = Predictions if not more else OwnPredictions
    return made(
        logits=torch.arange(24.0).reshape(2, 4, 3),
        boxes=torch.rand(2, 4, 4),
        level_idx=torch.zeros(4, dtype=torch.long),
        activation="sigmoid",
        valid=torch.ones(2, 4, dtype=torch.bool),
        **more,
    )


MATCH = Match(gt_idx=torch.tensor([[-1, 1, 0, -1], [-1, -1, -1, -1]]))
TARGETS = batch_with([[1.0, 2, 30, 40], [5, 5, 20, 20]], []).targets


def test_what_the_library_made_is_handed_on():
    losses = {"loss_ce": torch.tensor(2.0), "loss_bbox": torch.tensor(0.5)}
    own = stage(match=MATCH, losses=losses)
    match = OwnAssigner()(own, TARGETS)
    assert match is MATCH
    criterion = OwnCriterion()
    assert criterion.normalizers(own, TARGETS, match) == {}
    assert criterion(own, TARGETS, match, {}) == losses
    # All terms are those of one stage.
    assert criterion(stage(match=MATCH), TARGETS, match, {}) == {}
    positives = Positives.gather(own, TARGETS, match)
    assert positives.gt_idx.tolist() == [1, 0]
    assert positives.pred_idx.tolist() == [1, 2]


def test_a_detector_without_a_loss_of_its_own():
    reason = r"^Expected a detector that brings its own loss"
    with pytest.raises(ValueError, match=reason):
        OwnAssigner()(stage(), TARGETS)
    with pytest.raises(ValueError, match=reason):
        OwnCriterion()(stage(), TARGETS, MATCH, {})


def test_crowd_regions_are_not_ignored_in_silence():
    crowds = dataclasses.replace(TARGETS[0], crowd_boxes=torch.zeros(1, 4))
    with pytest.raises(ValueError, match="train_ignore_crowd=false"):
        OwnCriterion()(stage(match=MATCH), (crowds, TARGETS[1]), MATCH, {})
