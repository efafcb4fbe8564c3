import dataclasses

import torch

from corrlight.assigners import ignore_crowds
from corrlight.structures import BACKGROUND, IGNORED, Match, Predictions
from tests.helpers.toy import toy_targets

BOXES = torch.tensor([[0.0, 0, 8, 8], [4, 0, 12, 8], [7, 0, 15, 8], [0, 0, 8, 8], [3, 3, 3, 3]])


def match_with(crowd, priors=True):
    predictions = Predictions(
        logits=torch.zeros(2, 5, 3),
        boxes=BOXES.expand(2, -1, -1),
        level_idx=torch.zeros(5, dtype=torch.int64),
        activation="sigmoid",
        valid=torch.ones(2, 5, dtype=torch.bool),
        priors=BOXES if priors else None,
    )
    gt_idx = torch.full((2, 5), BACKGROUND)
    gt_idx[:, 3] = 0
    targets = (dataclasses.replace(toy_targets(1), crowd_boxes=crowd), toy_targets(1))
    match = Match(gt_idx=gt_idx)
    return match, ignore_crowds(predictions, targets, match)


def test_background_half_inside_a_crowd_is_ignored_and_positives_stay():
    for priors in (True, False):
        _, ignored = match_with(torch.tensor([[0.0, 0, 8, 16]]), priors)
        assert ignored.gt_idx[0].tolist() == [IGNORED, IGNORED, BACKGROUND, 0, BACKGROUND]
        assert ignored.gt_idx[1].tolist() == [BACKGROUND] * 3 + [0, BACKGROUND]


def test_without_crowds_nothing_changes():
    for crowd in (None, torch.zeros(0, 4)):
        before, after = match_with(crowd)
        assert after is before
