"""FCOS, RetinaNet and SSD of torchvision: losses, matching and detections are torchvision's."""

import copy

import pytest
import torch
from torchvision.ops import box_iou

from corrlight.guests import TorchvisionDense
from corrlight.postprocess import NMSPostprocessor
from corrlight.structures import Positives
from tests.guests.torchvision_pairs import (
    OBJECTS,
    assert_same_detections,
    model_of,
    pictures,
)
from tests.helpers.plug.torchvision_zoo import NUM_CLASSES

DENSE = ("fcos", "retinanet", "ssd")


def postprocessor_of(model, name):
    fcos = {"quality": "sqrt", "select_on": "ranking_scores"} if name == "fcos" else {}
    return NMSPostprocessor(
        score_thresh=model.score_thresh,
        topk_candidates=10_000,
        nms_thresh=model.nms_thresh,
        max_detections=model.detections_per_img,
        **fcos,
    )


@pytest.mark.parametrize("boxes", [OBJECTS, []], ids=["objects", "none"])
@pytest.mark.parametrize("name", DENSE)
def test_losses_are_those_of_the_model(name, boxes):
    model = model_of(name).train()
    batch, images, targets = pictures(boxes, OBJECTS[:1])
    expected = model(images, targets)
    guest = TorchvisionDense(model, NUM_CLASSES - 1)
    for training in (True, False):  # the same path in both
        (stage,) = guest.train(training)(batch)
        assert sorted(stage.losses) == sorted(f"loss_{key}" for key in expected)
        for key, value in expected.items():
            torch.testing.assert_close(stage.losses[f"loss_{key}"], value)


@pytest.mark.parametrize("name", DENSE)
def test_detections_are_those_of_the_model(name):
    model = model_of(name).eval()
    if name == "retinanet":
        # All of its scores are 0.01 as it starts, so rounding would decide what is suppressed.
        for weight in model.head.classification_head.parameters():
            if weight.ndim == 4:
                torch.nn.init.kaiming_normal_(weight)
    model.score_thresh = 0.1
    model.topk_candidates = model.detections_per_img = 10_000
    batch, images, _ = pictures(OBJECTS, [])
    with torch.no_grad():
        theirs = model(images)
        (stage,) = TorchvisionDense(model, NUM_CLASSES - 1)(batch)
    # FCOS and RetinaNet have a column for the background, and report it like any class.
    for found in theirs:
        known = found["labels"] > 0
        found.update({key: value[known] for key, value in found.items()})
    assert sum(len(t["boxes"]) for t in theirs) >= 5
    assert_same_detections(postprocessor_of(model, name)(stage, batch.valid_sizes), theirs)


@pytest.mark.parametrize("name", DENSE)
def test_positives_are_those_of_the_matching(name):
    guest = TorchvisionDense(model_of(name), NUM_CLASSES - 1)
    batch, _, _ = pictures(OBJECTS, [])
    (stage,) = guest(batch)
    positives = Positives.gather(stage, batch.targets, stage.match)
    assert len(positives) >= len(OBJECTS)
    assert positives.image_idx.unique().tolist() == [0]
    assert torch.equal(positives.gt_boxes, torch.tensor(OBJECTS)[positives.gt_idx])
    if name != "fcos":
        # Every positive anchor overlaps its object, and no other one more.
        with torch.no_grad():
            features = list(guest.model.backbone(batch.images).values())
        listed = type("Listed", (), {"tensors": batch.images, "image_sizes": batch.valid_sizes})
        anchors = guest.model.anchor_generator(listed, features)[0]
        ious = box_iou(anchors[positives.pred_idx], torch.tensor(OBJECTS))
        own = ious.gather(1, positives.gt_idx[:, None]).squeeze(1)
        forced = torch.isin(own, box_iou(anchors, torch.tensor(OBJECTS)).amax(0))
        assert bool((own >= ious.amax(1))[~forced].all())
    levels = stage.level_idx
    assert bool((levels.diff() >= 0).all())
    assert levels.unique().tolist() == [0, 1]


def test_a_copy_keeps_its_own_matching():
    first = TorchvisionDense(model_of("retinanet"), NUM_CLASSES - 1)
    second = copy.deepcopy(first)
    batch, _, _ = pictures(OBJECTS, [])
    (stage,) = second(batch)
    assert first._matched is None
    assert bool(stage.match.positive.any())
    assert second._override.owner is second.model.head


def test_another_model_is_refused():
    with pytest.raises(ValueError, match="but got a FasterRCNN: TorchvisionRCNN takes"):
        TorchvisionDense(model_of("faster_rcnn"), NUM_CLASSES - 1)
