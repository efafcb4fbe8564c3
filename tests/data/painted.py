"""Pictures whose boxes and masks can be read back from their pixels."""

import numpy as np
import torch

from corrlight.data import Sample


def painted(size, boxes, crowd_boxes=()):
    """Return a sample whose object k fills its box with the value k + 1, also in its mask."""
    image = torch.zeros(3, *size, dtype=torch.uint8)
    masks = torch.zeros(len(boxes), *size, dtype=torch.uint8)
    for k, (x1, y1, x2, y2) in enumerate(boxes):
        image[:, y1:y2, x1:x2] = k + 1
        masks[k, y1:y2, x1:x2] = 1
    return Sample(
        image=image,
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.arange(len(boxes)),
        crowd_boxes=torch.tensor(crowd_boxes, dtype=torch.float32).reshape(-1, 4),
        masks=masks,
        original_size=size,
        image_id=1,
    )


def extent(mask):
    """Return the box of the pixels that are set."""
    rows, columns = mask.any(1).nonzero().ravel(), mask.any(0).nonzero().ravel()
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def rng(seed=0):
    return np.random.default_rng(seed)


def assert_repeatable(sample, steps):
    """Two runs of the same steps with the same generator give the same sample."""
    results = []
    for _ in range(2):
        generator, result = rng(5), sample
        for step in steps:
            result = step(result, generator)
        results.append(result)
    assert torch.equal(results[0].image, results[1].image)
    assert torch.equal(results[0].boxes, results[1].boxes)
