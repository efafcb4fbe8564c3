"""What the bars need of a detector of torchvision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.helpers.plug.drawn import shapes
from tests.helpers.plug.torchvision_zoo import NUM_CLASSES, TORCHVISION_ZOO

__all__ = ["TorchvisionCase"]


class TorchvisionCase:
    options: tuple[dict[str, Any], ...] = ({"group_by": "level"}, {"group_by": "image"})
    num_classes = NUM_CLASSES
    pickles = True
    max_layers = 1
    one_positive: dict[str, Any] = {"group_by": "batch"}  # noqa: RUF012
    box_heads = r"regression_head|bbox_pred|rpn\.head"
    foreign: tuple[dict[str, Any], ...] = (
        {"layers": "all"},
        {"denoising": False},
        {"group_queries": "first"},
    )

    def __init__(self, name: str) -> None:
        self.name, self.make = name, TORCHVISION_ZOO[name]
        if name == "fcos":
            self.options = (*self.options, {"scores": "ranking"})
        else:
            self.foreign = (*self.foreign, {"scores": "ranking"})

    def attached(self, model: Any) -> Any:
        return model

    def batch(self, kind: str) -> Any:
        generator = torch.Generator().manual_seed(11)
        images = [torch.rand(3, h, w, generator=generator) for h, w in ((64, 96), (64, 64))]
        none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}
        some = {
            "boxes": torch.tensor([[4.0, 8, 52, 56], [40, 6, 90, 40]]),
            "labels": torch.tensor([1, 3]),
        }
        wrong = {"negative": -1, "high": NUM_CLASSES}
        if kind in wrong:
            targets = [none, {**some, "labels": torch.tensor([1, wrong[kind]])}]
            targets[1]["boxes"] = some["boxes"] * torch.tensor([0.7, 1, 0.7, 1])
        else:
            targets = [none, none] if kind == "empty" else [some, none]
        if kind == "one":
            # Around one point of FCOS, and half of one anchor of RetinaNet; too small to be matched
            # with more than one prior or proposal of the others.
            small = self.name in ("ssd", "faster_rcnn", "mask_rcnn")
            box = [33.0, 33, 38, 38] if small else [35.5, 35.5, 47.5, 47.5]
            point = {"boxes": torch.tensor([box]), "labels": torch.tensor([2])}
            targets = [point, none]
        return self._with_masks(images, targets)

    def drawn(self, number: int) -> Any:
        """Return a batch of drawn shapes."""
        images, targets = [], []
        for image, boxes, classes in shapes(number, 64, 96):
            images.append(image)
            targets.append({"boxes": boxes, "labels": classes + 1})
        return self._with_masks(images, targets)

    def joined(self, *batches: Any) -> Any:
        """Return a batch of the images of others."""
        images, targets = zip(*batches, strict=True)
        return [i for part in images for i in part], [t for part in targets for t in part]

    def _with_masks(self, images: Any, targets: Any) -> Any:
        if self.name == "mask_rcnn":
            targets = [
                {**t, "masks": torch.ones(len(t["labels"]), *i.shape[1:], dtype=torch.uint8)}
                for t, i in zip(targets, images, strict=True)
            ]
        return images, targets

    def reloaded(self, model: Any) -> Any:
        """Return another detector with the state dict of this one."""
        other = self.make()
        other.load_state_dict(model.state_dict())
        return other

    def step(self, model: Any, batch: Any) -> tuple[Tensor, Tensor | None]:
        losses = model(*batch)
        term = losses.get("correlation", losses.get("loss_correlation"))
        return sum(losses.values()), term

    def validate(self, model: Any, batch: Any) -> None:
        detections = model(*batch)
        assert [set(d) >= {"boxes", "scores", "labels"} for d in detections] == [True] * 2
