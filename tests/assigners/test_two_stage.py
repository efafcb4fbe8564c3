import dataclasses

import torch

from corrlight.assigners import (
    MaxIoUAssigner,
    SampledAssigner,
    TaskAlignedAssigner,
    TwoStageAssigner,
)
from corrlight.assigners.base import HasEpochs
from tests.assigners.scene import predictions, random_boxes, targets


def test_each_stage_has_its_assigner():
    first, then = MaxIoUAssigner(0.7, 0.3), MaxIoUAssigner(0.5, 0.5)
    both = TwoStageAssigner(first, then)
    stage, objects = predictions(1), targets(random_boxes(5, 3, smallest=20))
    proposing = dataclasses.replace(stage, proposes=True)
    results = [own(stage, objects).gt_idx for own in (first, then)]
    assert not torch.equal(*results)
    assert torch.equal(both(proposing, objects).gt_idx, results[0])
    assert torch.equal(both(stage, objects).gt_idx, results[1])


def test_epochs_reach_both():
    parts = [SampledAssigner(MaxIoUAssigner(), 20, 0.5) for _ in range(2)]
    both = TwoStageAssigner(*parts)
    stage, objects = predictions(1), targets(random_boxes(5, 3, smallest=20))
    stages = (dataclasses.replace(stage, proposes=True), stage)
    before = [both(own, objects).sampled for own in stages]
    both.start_epoch(3)
    for own, old in zip(stages, before, strict=True):
        assert not torch.equal(both(own, objects).sampled, old)
    assert isinstance(both, HasEpochs)


def test_it_asks_for_what_the_detection_asks_for():
    both = TwoStageAssigner(MaxIoUAssigner(), TaskAlignedAssigner())
    assert both.needs == ("priors",)
    assert both.activation == "sigmoid"
