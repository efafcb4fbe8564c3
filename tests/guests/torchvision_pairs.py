"""torchvision's detectors, alone and as guests, on the same pictures."""

import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from corrlight.structures import Batch, Targets
from tests.helpers.plug.torchvision_zoo import NUM_CLASSES, TORCHVISION_ZOO

SIDE = 64
OBJECTS = [[4.0, 5, 40, 44], [20, 20, 60, 60]]


def model_of(name):
    """A small detector that takes pictures of ``SIDE`` pixels as they are."""
    torch.manual_seed(0)
    model = TORCHVISION_ZOO[name]()
    model.transform = GeneralizedRCNNTransform(SIDE, SIDE, [0.0] * 3, [1.0] * 3)
    return model


def pictures(*boxes):
    """A batch, and the same as torchvision takes it."""
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(len(boxes), 3, SIDE, SIDE, generator=generator)
    targets = tuple(
        Targets(
            boxes=torch.tensor(b).reshape(-1, 4),
            labels=torch.arange(len(b)) % (NUM_CLASSES - 1),
            masks=torch.rand(len(b), SIDE, SIDE, generator=generator) > 0.5,
            valid_size=(SIDE, SIDE),
            padded_size=(SIDE, SIDE),
            original_size=(SIDE, SIDE),
            image_id=k,
        )
        for k, b in enumerate(boxes)
    )
    theirs = [
        {"boxes": t.boxes, "labels": t.labels + 1, "masks": t.masks.to(torch.uint8)}
        for t in targets
    ]
    return Batch(images=images, targets=targets), list(images), theirs


def assert_same_detections(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.scores, other["scores"])
        torch.testing.assert_close(mine.boxes, other["boxes"], atol=1e-3, rtol=1e-5)
        assert torch.equal(mine.labels + 1, other["labels"])
