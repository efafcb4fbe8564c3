"""A small pyramid of priors and random objects on it, for the tests of assigners."""

import torch

from corrlight.detectors.anchors import AnchorGrid
from corrlight.structures import Predictions, Targets

STRIDES, SIZES = (8, 16, 32), [(16, 20), (8, 10), (4, 5)]
IMAGE = (128, 160)
NUM_CLASSES = 3


def predictions(batch, scale=4, offset=0.0, seed=0):
    """Random predictions: boxes near their priors."""
    grid = AnchorGrid(STRIDES, [scale * s for s in STRIDES], offset=offset)
    priors, level_idx = grid(SIZES, torch.device("cpu"))
    shape = (batch, len(priors))
    generator = torch.Generator().manual_seed(seed)
    return Predictions(
        logits=torch.randn(*shape, NUM_CLASSES, generator=generator),
        boxes=priors + 6 * torch.randn(*shape, 4, generator=generator),
        level_idx=level_idx,
        activation="sigmoid",
        valid=torch.ones(shape, dtype=torch.bool),
        priors=priors,
    )


def targets(*boxes):
    return tuple(
        Targets(
            boxes=torch.as_tensor(b, dtype=torch.float32).reshape(-1, 4),
            labels=torch.arange(len(b)) % NUM_CLASSES,
            valid_size=IMAGE,
            padded_size=IMAGE,
            original_size=IMAGE,
            image_id=i,
        )
        for i, b in enumerate(boxes)
    )


def random_boxes(count, seed, smallest=12.0, largest=70.0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([100.0, 70])
    size = smallest + torch.rand(count, 2, generator=generator) * (largest - smallest)
    return torch.cat([corner, corner + size], 1)
