"""Steps of detectors with the plugged loss, on one process or shared by two."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from corrlight.plug import correlate
from tests.helpers.plug.plug_bars import made
from tests.helpers.plug.torchvision_case import TorchvisionCase
from tests.helpers.plug.torchvision_zoo import TORCHVISION_ZOO

__all__ = ["DETECTORS", "detector_together", "marker", "rank_results", "together"]

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


class _Step(nn.Module):
    """What is wrapped for data-parallel training: a batch in, total and term out."""

    def __init__(self, case: Any, model: nn.Module) -> None:
        super().__init__()
        self.case, self.model = case, model

    def forward(self, batch: Any) -> tuple[Tensor, Tensor]:
        total, term = self.case.step(self.model, batch)
        return total, term


def _cases() -> dict[str, Any]:
    """Return every detector whose library is there."""
    cases: dict[str, Any] = {name: TorchvisionCase(name) for name in TORCHVISION_ZOO}
    if importlib.util.find_spec("transformers") is not None:
        from tests.helpers.plug.hf_case import HuggingFaceCase
        from tests.helpers.plug.hf_zoo import HF_ZOO

        cases |= {name: HuggingFaceCase(name) for name in HF_ZOO}
    if importlib.util.find_spec("rfdetr") is not None:
        from tests.helpers.plug.rfdetr_case import RFDetrCase

        cases["rfdetr"] = RFDetrCase()
    return cases


DETECTORS = _cases()


def marker(name: str) -> str | None:
    """Return the marker of the library that a detector is from."""
    if name in TORCHVISION_ZOO:
        return None
    return "rfdetr" if name == "rfdetr" else "hf"


def _of_detector(name: str, rank: int | None) -> dict[str, torch.Tensor]:
    """Return a step of one of two batches of shapes, or of both on a single process.

    A rank has two images: of a single one the gradient of PyTorch's batch normalisation on the CPU
    is wrong where the next layer flattens it (2.8 to 2.15), as RT-DETR and its kin do.
    """
    case = DETECTORS[name]
    model = made(case)
    handle = correlate(case.attached(model), 1.0, sync=rank is not None)
    step: nn.Module = _Step(case, model)
    if rank is None:
        batch = case.joined(case.drawn(0), case.drawn(1))
    else:
        step = DistributedDataParallel(step, find_unused_parameters=True)
        batch = case.drawn(rank)
    _, term = step(batch)
    term.backward()
    grads = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in model.parameters()]
    found = {
        "value": handle.value,
        "count": torch.tensor(handle.num_positives),
        "gradient": torch.cat([grad.flatten() for grad in grads]).clone(),
    }
    # A whole step after it: the weights stay the same on both ranks.
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    optimizer.zero_grad()
    step(batch)[0].backward()
    optimizer.step()
    return {**found, "weights": torch.stack([p.detach().sum() for p in model.parameters()])}


def detector_together(name: str) -> dict[str, torch.Tensor]:
    """Return what one process computes of both batches."""
    return _of_detector(name, None)


def rank_results(rank: int) -> dict[str, Any]:
    """Return what a rank computes of its image: case by case, and of every detector."""
    return {
        "cases": [_step([images[rank]], group_by, sync=True) for images, group_by in CASES],
        "detectors": {name: _of_detector(name, rank) for name in DETECTORS},
    }
