import pytest
import torch

from corrlight.assigners import HungarianAssigner
from corrlight.backbones import ResNet
from corrlight.boxes import xyxy_to_cxcywh
from corrlight.criteria import CrossEntropyClassification, SetPredictionCriterion
from corrlight.detectors import DETR
from corrlight.structures import Batch, Targets

OBJECTS = [[4.0, 5, 40, 44], [50, 20, 90, 60]]


def tiny(**changes) -> DETR:
    torch.manual_seed(0)
    options = {
        "num_classes": 3,
        "num_queries": 6,
        "channels": 16,
        "num_heads": 2,
        "feedforward_channels": 16,
        "num_encoder_layers": 1,
        "num_decoder_layers": 2,
        "dropout": 0.0,
    }
    backbone = ResNet(18, base_width=4, frozen_stages=0, norm="batch", out_stages=(2, 3))
    return DETR(backbone, **(options | changes))


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


def total_loss(detector: DETR, batch: Batch) -> torch.Tensor:
    assigner = HungarianAssigner(1.0, 5.0, 2.0, "cxcywh")
    criterion = SetPredictionCriterion(
        CrossEntropyClassification(), cls_weight=1.0, box_format="cxcywh"
    )
    terms = []
    for stage in detector(batch):
        match = assigner(stage, batch.targets)
        normalizers = criterion.normalizers(stage, batch.targets, match)
        terms += criterion(stage, batch.targets, match, normalizers).values()
    return torch.stack(terms).sum()


def test_every_decoder_layer_is_a_stage() -> None:
    stages = tiny(num_decoder_layers=3)(batch_of(OBJECTS, OBJECTS[:1]))
    assert len(stages) == 3
    for stage in stages:
        assert stage.logits.shape == (2, 6, 4)
        assert stage.num_classes == 3
        assert stage.boxes.shape == (2, 6, 4)
        assert stage.boxes.dtype == torch.float32
        assert stage.valid.all()
    assert not torch.equal(stages[0].logits, stages[1].logits)


def test_boxes_are_shares_of_the_content() -> None:
    detector = tiny()
    with torch.no_grad():
        detector.reg[-1].weight.zero_()
        detector.reg[-1].bias.copy_(torch.tensor([0.25, 0.5, 0.5, 0.2]).logit())
        boxes = xyxy_to_cxcywh(detector(batch_of(OBJECTS, OBJECTS))[-1].boxes)
    torch.testing.assert_close(boxes[0, 0], torch.tensor([24.0, 32, 48, 12.8]))
    torch.testing.assert_close(boxes[1, 0], torch.tensor([17.5, 25, 35, 10]))


def test_what_lies_beyond_the_content_of_an_image_is_not_seen() -> None:
    """Cells whose pixels are all padding: the backbone's view of the border stays."""
    detector = tiny(channels=16).eval()
    detector.backbone.forward = lambda images: [images[:, :, ::16, ::16].repeat(1, 6, 1, 1)[:, :16]]
    batch = batch_of(OBJECTS, OBJECTS)
    batch.images[1, :, 60:] = 5.0
    batch.images[1, :, :, 80:] = -5.0
    with torch.no_grad():
        seen = detector(batch)[-1].logits[1]
        batch.images[1, :, :, 80:] = 3.0
        assert torch.equal(detector(batch)[-1].logits[1], seen)
        batch.images[1, :, 0, 0] += 1.0
        assert not torch.equal(detector(batch)[-1].logits[1], seen)


def test_references_start_as_a_grid() -> None:
    detector = tiny(references=True)
    with torch.no_grad():
        detector.reg[-1].weight.zero_()
        detector.reg[-1].bias.zero_()
        boxes = xyxy_to_cxcywh(detector(batch_of(OBJECTS))[-1].boxes)[0]
    # Six points are two rows of three in an image of 96 x 64 pixels.
    x, y = torch.tensor([16.0, 48, 80]).repeat(2), torch.tensor([16.0, 48]).repeat_interleave(3)
    torch.testing.assert_close(boxes[:, :2], torch.stack([x, y], 1))
    torch.testing.assert_close(boxes[:, 2:], torch.tensor([[24.0, 16]]).expand(6, 2))
    assert len(tiny(references=True, num_queries=7).queries) == 7


@pytest.mark.parametrize("options", [{}, {"references": True, "norm_first": True}])
@pytest.mark.parametrize("objects", [([], []), (OBJECTS, []), (OBJECTS[:1], [])])
def test_every_parameter_gets_a_finite_gradient(options, objects) -> None:
    detector = tiny(**options)
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_queries": 0}, "`num_queries` to be at least 1, but got 0"),
        ({"num_decoder_layers": 0}, "`num_decoder_layers` to be at least 1, but got 0"),
        ({"channels": 18}, "`channels` to be a multiple of 4 and of the 2 heads, but got 18"),
        ({"num_heads": 3}, "of the 3 heads, but got 16"),
        ({"dropout": 1.0}, r"`dropout` to be in \[0, 1\), but got 1.0"),
    ],
)
def test_wrong_arguments_are_named(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**changes)
