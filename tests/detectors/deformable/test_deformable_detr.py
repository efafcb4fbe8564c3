import functools

import pytest
import torch

from corrlight.backbones import LevelProjection, ResNet
from corrlight.boxes import xyxy_to_cxcywh
from corrlight.detectors import DeformableDETR
from tests.detectors.build import OBJECTS, batch_with, full_size


def tiny(**changes) -> DeformableDETR:
    torch.manual_seed(0)
    options = {
        "num_classes": 3,
        "num_queries": 6,
        "num_heads": 2,
        "num_points": 2,
        "feedforward_channels": 16,
        "num_encoder_layers": 1,
        "num_decoder_layers": 2,
        "dropout": 0.0,
    }
    backbone = ResNet(18, base_width=8, frozen_stages=0, out_stages=(2, 3))
    neck = functools.partial(
        LevelProjection, out_channels=16, num_levels=3, start_level=0, norm_groups=4
    )
    return DeformableDETR(backbone, neck, **(options | changes))


VARIANTS = [
    {},
    {"box_refinement": True},
    {"two_stage": True},
    {"box_refinement": True, "two_stage": True},
]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_proposals_and_every_layer_are_stages(options) -> None:
    detector = tiny(**options)
    stages = detector(batch_with(OBJECTS, OBJECTS[:1]))
    proposed = options.get("two_stage", False)
    assert [s.any_object for s in stages] == [True] * proposed + [False] * 2
    tokens = 8 * 12 + 4 * 6 + 2 * 3
    for stage in stages:
        count = tokens if stage.any_object else 6
        assert stage.logits.shape == (2, count, 3)
        assert stage.boxes.shape == (2, count, 4)
        assert stage.boxes.dtype == torch.float32
        assert stage.valid.all()
        assert stage.level_idx.shape == (count,)
    if proposed:
        assert stages[0].level_idx.bincount().tolist() == [96, 24, 6]
    # One branch for all, or one for each and another for the proposals.
    count = 2 + proposed if options.get("box_refinement") else 1
    assert len({*detector.reg}) == len({*detector.cls}) == count
    torch.stack([s.logits.sum() + s.boxes.sum() for s in stages]).sum().backward()
    without = [n for n, p in detector.named_parameters() if p.requires_grad and p.grad is None]
    assert not without


def test_boxes_start_at_the_points_of_the_queries() -> None:
    detector = tiny()
    with torch.no_grad():
        boxes = xyxy_to_cxcywh(detector(batch_with(OBJECTS, OBJECTS))[-1].boxes)
        points = detector.reference_points(detector.queries[:, :16]).sigmoid()
    for own, (height, width) in zip(boxes, ((64, 96), (50, 70)), strict=True):
        size = torch.tensor([width, height])
        torch.testing.assert_close(own[:, :2], points * size)
        edges = torch.tensor(-2.0).sigmoid() * size
        torch.testing.assert_close(own[:, 2:], edges.expand(6, 2))


@pytest.mark.parametrize("two_stage", [False, True])
def test_refined_boxes_move_from_those_before_without_a_gradient_to_them(two_stage) -> None:
    detector = tiny(box_refinement=True, two_stage=two_stage)
    with torch.no_grad():
        for branch in detector.reg:
            branch[-1].weight.normal_(std=0.3)
        detector.reg[1][-1].weight.zero_()
        detector.reg[1][-1].bias.copy_(torch.tensor([0.5, 0.0, 0.0, 0.0]))
    batch = batch_with(OBJECTS, OBJECTS)
    *_, first, second = detector(batch)
    sizes = torch.tensor([[w, h, w, h] for h, w in batch.valid_sizes])[:, None]
    before, after = (xyxy_to_cxcywh(s.boxes / sizes).logit() for s in (first, second))
    moved = torch.tensor([0.5, 0, 0, 0]).expand_as(before)
    torch.testing.assert_close(after - before, moved, atol=1e-3, rtol=0)
    second.boxes.sum().backward()
    last = detector.reg[0][-1].weight.grad
    assert last is None or not last.any()


@pytest.mark.parametrize("options", VARIANTS[::3], ids=str)
def test_what_lies_beyond_the_content_of_an_image_is_not_seen(options) -> None:
    """Cells whose pixels are all padding: the view of backbone and neck over the border aside."""
    detector = tiny(**options).eval()
    detector.backbone.forward = lambda images: [images, images]

    def neck(maps):
        return [maps[0][:, :1, :: 2**i, :: 2**i].expand(-1, 16, -1, -1) for i in (3, 4, 5)]

    detector.neck.forward = neck
    batch = batch_with(OBJECTS, OBJECTS)
    with torch.no_grad():
        seen = detector(batch)[-1].logits[1]
        batch.images[1, :, :, 80:] = 3.0
        batch.images[1, :, 56:] = 5.0
        assert torch.equal(detector(batch)[-1].logits[1], seen)
        batch.images[1, :, 0, 0] += 1.0
        assert not torch.equal(detector(batch)[-1].logits[1], seen)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        (["box_refinement=true"], 40_884_794),
        (["box_refinement=true", "two_stage=true"], 41_213_836),
    ],
)
def test_variants_have_as_many_parameters_as_published(options, parameters) -> None:
    model = full_size("deformable_detr", *(f"detector.net.{o}" for o in options))
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_queries": 0}, "`num_queries` to be at least 1, but got 0"),
        ({"num_points": 0}, "`num_points` to be at least 1, but got 0"),
        ({"num_decoder_layers": 0}, "`num_decoder_layers` to be at least 1, but got 0"),
        ({"num_heads": 3}, "`out_channels` to be a multiple of 4 and of the 3 heads, but got 16"),
        ({"dropout": 1.0}, r"`dropout` to be in \[0, 1\), but got 1.0"),
    ],
)
def test_wrong_arguments_are_named(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**changes)
