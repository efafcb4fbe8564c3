import pytest
import torch

from corrlight.backbones import ResNet
from corrlight.boxes import xyxy_to_cxcywh
from corrlight.detectors import DETR
from tests.detectors.build import OBJECTS, batch_with


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


def test_every_decoder_layer_is_a_stage() -> None:
    stages = tiny(num_decoder_layers=3)(batch_with(OBJECTS, OBJECTS[:1]))
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
        boxes = xyxy_to_cxcywh(detector(batch_with(OBJECTS, OBJECTS))[-1].boxes)
    torch.testing.assert_close(boxes[0, 0], torch.tensor([24.0, 32, 48, 12.8]))
    torch.testing.assert_close(boxes[1, 0], torch.tensor([17.5, 25, 35, 10]))


def test_what_lies_beyond_the_content_of_an_image_is_not_seen() -> None:
    """Cells whose pixels are all padding: the backbone's view of the border stays."""
    detector = tiny(channels=16).eval()
    detector.backbone.forward = lambda images: [images[:, :, ::16, ::16].repeat(1, 6, 1, 1)[:, :16]]
    batch = batch_with(OBJECTS, OBJECTS)
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
        boxes = xyxy_to_cxcywh(detector(batch_with(OBJECTS))[-1].boxes)[0]
    # Six points are two rows of three in an image of 96 x 64 pixels.
    x, y = torch.tensor([16.0, 48, 80]).repeat(2), torch.tensor([16.0, 48]).repeat_interleave(3)
    torch.testing.assert_close(boxes[:, :2], torch.stack([x, y], 1))
    torch.testing.assert_close(boxes[:, 2:], torch.tensor([[24.0, 16]]).expand(6, 2))
    assert len(tiny(references=True, num_queries=7).queries) == 7


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
