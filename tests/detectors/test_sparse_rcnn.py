import functools

import pytest
import torch

from corrlight.assigners import HungarianAssigner
from corrlight.backbones import FPN, ResNet
from corrlight.boxes import xyxy_to_cxcywh
from corrlight.criteria import FocalClassification, SetPredictionCriterion
from corrlight.detectors import SparseRCNN
from corrlight.structures import Batch, Targets


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


def batch_of(*boxes: list[list[float]]) -> Batch:
    sizes = [(64, 96), (50, 70)]
    targets = tuple(
        Targets(
            boxes=torch.tensor(b).reshape(-1, 4),
            labels=torch.arange(len(b)) % 3,
            valid_size=sizes[i],
            padded_size=(64, 96),
            original_size=sizes[i],
            image_id=10 + i,
        )
        for i, b in enumerate(boxes)
    )
    generator = torch.Generator().manual_seed(3)
    return Batch(images=torch.randn(len(boxes), 3, 64, 96, generator=generator), targets=targets)


OBJECTS = [[4.0, 5, 40, 44], [50, 20, 90, 60]]


def total_loss(detector: SparseRCNN, batch: Batch) -> torch.Tensor:
    assigner, criterion = HungarianAssigner(), SetPredictionCriterion(FocalClassification())
    terms = []
    for stage in detector(batch):
        match = assigner(stage, batch.targets)
        normalizers = criterion.normalizers(stage, batch.targets, match)
        terms += criterion(stage, batch.targets, match, normalizers).values()
    return torch.stack(terms).sum()


def test_shapes_of_every_stage() -> None:
    stages = tiny()(batch_of(OBJECTS, OBJECTS[:1]))
    assert len(stages) == 2
    for stage in stages:
        assert stage.logits.shape == (2, 6, 3)
        assert stage.boxes.shape == (2, 6, 4)
        assert stage.boxes.dtype == torch.float32
        assert stage.level_idx.tolist() == [0] * 6
        assert stage.valid.shape == (2, 6)
        assert stage.valid.all()


def test_proposals_start_as_the_content_of_their_image() -> None:
    boxes = tiny().initial_boxes(batch_of(OBJECTS, OBJECTS))
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
    stages = detector(batch_of(OBJECTS))
    stages[1].boxes.sum().backward()
    assert detector.heads[1].reg.weight.grad.any()
    assert detector.heads[0].reg.weight.grad is None


@pytest.mark.parametrize("objects", [([], []), (OBJECTS, []), (OBJECTS[:1], [])])
def test_every_parameter_gets_a_finite_gradient(objects) -> None:
    detector = tiny()
    loss = total_loss(detector, batch_of(*objects))
    loss.backward()
    assert torch.isfinite(loss)
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_twenty_steps_lower_the_loss() -> None:
    detector, batch = tiny(), batch_of(OBJECTS, OBJECTS[:1])
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = total_loss(detector, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_stages_refine_the_boxes_before() -> None:
    detector = tiny()
    with torch.no_grad():
        for head in detector.heads:
            head.reg.weight.zero_()
            head.reg.bias.copy_(torch.tensor([0.05, 0.0, -0.1, 0.1]))
        stages = detector(batch_of(OBJECTS))
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
