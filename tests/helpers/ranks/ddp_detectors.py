"""A few data-parallel steps of every small detector, with an empty image on one of two ranks."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from corrlight.structures import Batch, Targets
from tests.helpers.detector_files import names
from tests.helpers.ranks.sync_ranks import Step

DETECTORS = names("*_small", installed=True)
NUM_STEPS, SIZE = 3, (64, 64)
BOXES = [[5.0, 6, 29, 30], [20, 10, 60, 45]]


def make_batch(boxes: list[list[float]], seed: int) -> Batch:
    """Return one image; its masks fill the boxes."""
    masks = torch.zeros(len(boxes), *SIZE, dtype=torch.bool)
    for mask, box in zip(masks, boxes, strict=True):
        left, top, right, bottom = map(int, box)
        mask[top:bottom, left:right] = True
    target = Targets(
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.arange(len(boxes)),
        masks=masks,
        valid_size=SIZE,
        padded_size=SIZE,
        original_size=SIZE,
        image_id=seed,
    )
    generator = torch.Generator().manual_seed(seed)
    return Batch(images=torch.randn(1, 3, *SIZE, generator=generator), targets=(target,))


def train(detector: str, rank: int) -> dict[str, torch.Tensor]:
    """Return the losses of the rank's steps and a checksum of the weights after them."""
    torch.manual_seed(0)
    config = compose_config([f"detector={detector}", "corr=concordance", "data.num_classes=3"])
    module = build_module(config.config)
    module.log_dict = lambda *args, **kwargs: None
    # Every parameter has to receive a gradient on both ranks.
    step = DistributedDataParallel(Step(module.train()), find_unused_parameters=False)
    trainable = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=1e-3)
    losses = []
    for i in range(NUM_STEPS):
        # The empty image changes sides.
        loss = step(make_batch([] if i % 2 == rank else BOXES, seed=2 * i + rank))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        losses.append(loss.detach())
    return {
        "losses": torch.stack(losses),
        "weights": torch.stack([p.detach().double().sum() for p in trainable]),
    }


def rank_results(rank: int) -> dict[str, Any]:
    """Return what every detector's training gives on one of two ranks."""
    return {name: train(name, rank) for name in DETECTORS}
