import functools

import pytest
import torch

from corrlight.backbones import FPN, ResNet
from corrlight.boxes import xyxy_to_cxcywh
from corrlight.detectors import SparseRCNN
from tests.detectors.build import OBJECTS, batch_with


def tiny(**changes) -> SparseRCNN:
    torch.manual_seed(0)
    options = {
        "num_classes": 3,
        "num_proposals": 6,
        "num_stages": 2,
        "num_heads": 2,
        "feedforward_channels": 16,
        "dynamic_channels": 4,
    }
    neck = functools.partial(FPN, out_channels=8, num_levels=4, start_level=0, extra_levels=None)
    backbone = ResNet(18, base_width=4, frozen_stages=0, norm="batch")
    return SparseRCNN(backbone, neck, **(options | changes))


def test_shapes_of_every_stage() -> None:
    stages = tiny()(batch_with(OBJECTS, OBJECTS[:1]))
    assert len(stages) == 2
    for stage in stages:
        assert stage.logits.shape == (2, 6, 3)
        assert stage.boxes.shape == (2, 6, 4)
        assert stage.boxes.dtype == torch.float32
        assert stage.level_idx.tolist() == [0] * 6
        assert stage.valid.shape == (2, 6)
        assert stage.valid.all()


def test_proposals_start_as_the_content_of_their_image() -> None:
    boxes = tiny().initial_boxes(batch_with(OBJECTS, OBJECTS))
    assert (boxes[0] == torch.tensor([0.0, 0, 96, 64])).all()
    assert (boxes[1] == torch.tensor([0.0, 0, 70, 50])).all()


def test_scores_start_at_the_prior() -> None:
    detector = tiny()
    for head in detector.heads:
        torch.testing.assert_close(head.cls.bias.sigmoid(), torch.full((3,), 0.01))
        limit = (6 / sum(head.reg.weight.shape)) ** 0.5
        assert 0 < head.reg.weight.abs().max() <= limit


def test_boxes_of_a_stage_give_no_gradient_to_the_one_before() -> None:
    detector = tiny()
    stages = detector(batch_with(OBJECTS))
    stages[1].boxes.sum().backward()
    assert detector.heads[1].reg.weight.grad.any()
    assert detector.heads[0].reg.weight.grad is None


def test_stages_refine_the_boxes_before() -> None:
    detector = tiny()
    with torch.no_grad():
        for head in detector.heads:
            head.reg.weight.zero_()
            head.reg.bias.copy_(torch.tensor([0.05, 0.0, -0.1, 0.1]))
        stages = detector(batch_with(OBJECTS))
    first, second = (xyxy_to_cxcywh(stage.boxes)[0, 0] for stage in stages)
    # Standard deviations 0.5 for the centre, 1 for the logarithm of the size.
    torch.testing.assert_close(first, torch.tensor([48 + 0.025 * 96, 32, 86.8644, 70.7309]))
    torch.testing.assert_close(second[2:], first[2:] * torch.tensor([-0.1, 0.1]).exp())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_proposals": 0}, "`num_proposals` to be at least 1, but got 0"),
        ({"stds": (1, 1)}, r"`stds` to be four positive numbers, but got \[1, 1\]"),
        ({"strides": (4, 8)}, "`strides` to have 4 entries, one a level of the neck, but got 2"),
        ({"num_heads": 3}, "`num_heads` to divide the 8 channels, but got 3"),
    ],
)
def test_wrong_arguments_are_named(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**changes)
