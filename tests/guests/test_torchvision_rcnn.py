"""Faster and Mask R-CNN of torchvision: losses, proposals and detections are torchvision's."""

import dataclasses

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from corrlight.guests import ClassBoxPostprocessor, TorchvisionRCNN
from corrlight.structures import Positives
from tests.guests.torchvision_pairs import (
    OBJECTS,
    assert_same_detections,
    model_of,
    pictures,
)
from tests.helpers.plug.torchvision_zoo import NUM_CLASSES

BOTH = ("faster_rcnn", "mask_rcnn")


@pytest.mark.parametrize("boxes", [OBJECTS, []], ids=["objects", "none"])
@pytest.mark.parametrize("name", BOTH)
def test_losses_are_those_of_the_model(name, boxes):
    model = model_of(name).train()
    batch, images, targets = pictures(boxes, OBJECTS[:1])
    torch.manual_seed(5)
    expected = model(images, targets)
    guest = TorchvisionRCNN(model, NUM_CLASSES - 1).train()
    torch.manual_seed(5)
    (stage,) = guest(batch)
    assert stage.losses.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(stage.losses[key], value)
    evaluated = guest.eval()(batch)[0].losses
    assert evaluated.keys() == expected.keys()
    assert all(value.isfinite() for value in evaluated.values())


@pytest.mark.parametrize("name", BOTH)
def test_detections_are_those_of_the_model(name):
    model = model_of(name).eval()
    model.roi_heads.score_thresh = 0.15
    batch, images, _ = pictures(OBJECTS, [])
    with torch.no_grad():
        theirs = model(images)
        guest = TorchvisionRCNN(model, NUM_CLASSES - 1).eval()
        (stage,) = guest(batch)
    found = ClassBoxPostprocessor(score_thresh=0.15)(stage, batch.valid_sizes)
    assert sum(len(t["boxes"]) for t in theirs) > 10
    assert_same_detections(found, theirs)
    if name == "mask_rcnn":
        for mine, other in zip(found, theirs, strict=True):
            bits = np.stack([coco_mask.decode(rle) for rle in mine.masks])
            assert np.array_equal(bits, (other["masks"][:, 0] > 0.5).numpy())
    else:
        assert found[0].masks is None


def test_a_validation_draws_nothing_and_repeats():
    guest = TorchvisionRCNN(model_of("faster_rcnn"), NUM_CLASSES - 1).eval()
    batch, _, _ = pictures(OBJECTS, OBJECTS[:1])
    torch.manual_seed(1)
    first = guest(batch)[0].losses
    drawn = torch.rand(3)
    second = guest(batch)[0].losses
    assert all(torch.equal(first[key], second[key]) for key in first)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(3))


@pytest.mark.parametrize("training", [True, False])
def test_positives_have_the_box_of_their_class(training):
    guest = TorchvisionRCNN(model_of("faster_rcnn"), NUM_CLASSES - 1).train(training)
    batch, _, _ = pictures(OBJECTS, [])
    (stage,) = guest(batch)
    positives = Positives.gather(stage, batch.targets, stage.match)
    assert len(positives)
    rows = stage.class_boxes[positives.image_idx, positives.pred_idx]
    own = rows[torch.arange(len(positives)), positives.labels]
    assert torch.equal(own, positives.pred_boxes)
    # Fewer proposals in one image are filled up.
    assert not bool(stage.match.positive[~stage.valid].any())
    # Of the model's own numbers, by the mode of the guest alone.
    number = guest.model.rpn.post_nms_top_n()
    mode = "training" if training else "testing"
    assert number == guest.model.rpn._post_nms_top_n[mode]


def test_masks_are_asked_for():
    guest = TorchvisionRCNN(model_of("mask_rcnn"), NUM_CLASSES - 1).eval()
    batch, _, _ = pictures(OBJECTS)
    bare = dataclasses.replace(
        batch, targets=tuple(dataclasses.replace(t, masks=None) for t in batch.targets)
    )
    with pytest.raises(ValueError, match=r"data\.load_masks=true"):
        guest(bare)


def test_another_model_is_refused():
    with pytest.raises(ValueError, match="but got a RetinaNet: TorchvisionDense takes"):
        TorchvisionRCNN(model_of("retinanet"), NUM_CLASSES - 1)
