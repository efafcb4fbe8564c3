"""A full-size detector with random weights and random images, ready to train and to infer.

80 classes, ResNet-50, images of 256x320 (unless another size is asked for) with five objects each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn.utils import clip_grad_norm_

from benchmarks.harness.objects import LABELS, SIZE, boxes_in
from benchmarks.harness.optimizers import make_optimizer
from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from corrlight.module import DetectionModule
from corrlight.ops.adam import fuse_next_step
from corrlight.structures import Batch, Targets

__all__ = ["DETECTORS", "FullSize"]

DETECTORS = ("retinanet", "foveabox", "atss", "paa", "sparse_rcnn", "detr", "yolact")


class FullSize:
    """A detector and its batches.

    Args:
        detector: Name of its YAML file.
        corr: The auxiliary loss.
        batch_sizes: Numbers of images that iterations may ask for.
        options: Further options, to try the benchmark out on something smaller.
        size: Height and width of the images.

    Attributes:
        module: The detection module.
        batches: By batch size.
    """

    def __init__(
        self,
        detector: str,
        corr: str,
        batch_sizes: Sequence[int] = (1,),
        options: Sequence[str] = (),
        size: tuple[int, int] = SIZE,
    ) -> None:
        torch.manual_seed(0)
        self.batches = {number: make_batch(number, size) for number in batch_sizes}
        overrides = [f"detector={detector}", f"corr={corr}"]
        overrides += ["backbone.weights=null", "data.num_classes=80", *options]
        self.module: DetectionModule = build_module(compose_config(overrides).config)
        trainable = [p for p in self.module.parameters() if p.requires_grad]
        self._optimizer, self._max_norm = make_optimizer(detector, trainable)
        self._clipped = trainable

    def train(self, batch_size: int = 1) -> None:
        """Zero the gradients, compute losses and gradients, and step, as a training does."""
        self.module.train()
        self._optimizer.zero_grad()
        loss = self.module.step(self.batches[batch_size]).loss
        loss.backward()
        if self._max_norm is not None:
            clip_grad_norm_(self._clipped, self._max_norm)
        fuse_next_step(self._optimizer)
        self._optimizer.step()
        loss.item()

    def infer(self, batch_size: int = 1) -> None:
        """Go from the images to detections."""
        self.module.eval()
        with torch.no_grad():
            self.module(self.batches[batch_size])

    def actions(self) -> dict[str, Callable[[], None]]:
        """Return both by name, for every batch size: ``train 1``, for example."""
        return {
            f"{name} {size}": lambda method=method, size=size: method(size)
            for name, method in (("train", self.train), ("infer", self.infer))
            for size in self.batches
        }


def make_batch(num_images: int, size: tuple[int, int] = SIZE) -> Batch:
    """Return random images that all have the same objects, which grow with the images."""
    boxes = torch.tensor(boxes_in(size))
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, box in zip(masks, boxes.tolist(), strict=True):
        left, top, right, bottom = map(int, box)
        mask[top:bottom, left:right] = True
    targets = tuple(
        Targets(
            boxes=boxes,
            masks=masks,
            labels=torch.tensor(LABELS),
            valid_size=size,
            padded_size=size,
            original_size=size,
            image_id=i,
        )
        for i in range(num_images)
    )
    return Batch(images=torch.randn(num_images, 3, *size), targets=targets)
