import pytest
import torch

from corrlight.assigners import ATSSAssigner, StagedAssigner, TaskAlignedAssigner
from corrlight.assigners.base import HasEpochs
from tests.assigners.scene import predictions, random_boxes, targets


def test_the_first_epochs_have_the_first_assigner():
    first, then = ATSSAssigner(), TaskAlignedAssigner()
    staged = StagedAssigner(first, then, epochs=2)
    stage, objects = predictions(1), targets(random_boxes(5, 3, smallest=20))
    results = [own(stage, objects).gt_idx for own in (first, then)]
    assert not torch.equal(*results)
    # In a test nobody says which epoch it is.
    assert torch.equal(staged(stage, objects).gt_idx, results[1])
    for epoch, expected in ((0, 0), (1, 0), (2, 1), (11, 1), (0, 0)):
        staged.start_epoch(epoch)
        assert torch.equal(staged(stage, objects).gt_idx, results[expected])
    assert isinstance(staged, HasEpochs)


def test_it_asks_for_what_either_asks_for():
    staged = StagedAssigner(ATSSAssigner(), TaskAlignedAssigner(), epochs=4)
    assert staged.needs == ("priors",)
    assert staged.activation == "sigmoid"
    assert StagedAssigner(ATSSAssigner(), ATSSAssigner(), 1).activation is None


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`epochs`.*got -1"):
        StagedAssigner(ATSSAssigner(), ATSSAssigner(), -1)
