"""Steps of torchvision's RetinaNet with the plugged loss, on one process or shared by two."""

from __future__ import annotations

import torch
from torch.nn.parallel import DistributedDataParallel

from corrlight.plug import correlate
from tests.helpers.plug.torchvision_zoo import TORCHVISION_ZOO

__all__ = ["rank_results", "together"]

BOXES = ([[4.0, 8, 52, 56], [40, 6, 90, 40]], [[10.0, 4, 60, 60]], [])


def _batch(images: list[int]) -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    generator = torch.Generator().manual_seed(4)
    pictures = [torch.rand(3, 64, 96, generator=generator) for _ in BOXES]
    targets = [
        {"boxes": torch.tensor(b).reshape(-1, 4), "labels": torch.arange(len(b)) + 1} for b in BOXES
    ]
    return [pictures[k] for k in images], [targets[k] for k in images]


def _step(images: list[int], group_by: str, sync: bool) -> dict[str, torch.Tensor]:
    """Return value, positives and classifier gradient of the correlation term alone."""
    torch.manual_seed(0)
    model = TORCHVISION_ZOO["retinanet"]().train()
    handle = correlate(model, 1.0, sync=sync, group_by=group_by)
    runner = DistributedDataParallel(model, find_unused_parameters=True) if sync else model
    losses = runner(*_batch(images))
    losses["correlation"].backward()
    # Data-parallel training gives what no loss reaches a gradient of zero.
    grads = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in model.head.parameters()]
    return {
        "value": handle.value,
        "count": torch.tensor(handle.num_positives),
        "gradient": torch.cat([grad.flatten() for grad in grads]),
    }


def together(images: tuple[int, ...], group_by: str) -> dict[str, torch.Tensor]:
    """Return what one process computes of all images."""
    return _step(list(images), group_by, sync=False)


CASES = [((0, 1), group_by) for group_by in ("batch", "image", "level")] + [((0, 2), "batch")]


def rank_results(rank: int) -> list[dict[str, torch.Tensor]]:
    """Return what a rank computes of its image, case by case."""
    return [_step([images[rank]], group_by, sync=True) for images, group_by in CASES]
