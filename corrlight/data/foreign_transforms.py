"""Transforms of torchvision and albumentations as steps of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat, Image, Mask

from corrlight.data.transforms import Sample, Transform

__all__ = ["Albumentations", "TorchvisionTransform", "as_steps"]


def as_steps(transforms: Mapping[str, Any] | None, option: str) -> tuple[Transform, ...]:
    """Return the steps that a section of the configuration names, those of torchvision adapted.

    Args:
        transforms: Steps by name; None (a name set to null) is left out.
        option: Name of the section, for the error.

    Raises:
        ValueError: A step is neither one of ours nor a transform of torchvision's v2.
    """
    steps: list[Transform] = []
    for name, step in (transforms or {}).items():
        if step is None:
            continue
        if isinstance(step, v2.Transform):
            step = TorchvisionTransform(step)
        elif not callable(step) or isinstance(step, torch.nn.Module) or not _takes_rng(step):
            kind = f"{type(step).__module__}.{type(step).__qualname__}"
            raise ValueError(
                f"Expected `{option}.{name}` to be a transform of corrlight.data or of "
                f"torchvision.transforms.v2, but got a {kind}" + _advice(kind)
            )
        steps.append(step)
    return tuple(steps)


def _takes_rng(step: Callable[..., Any]) -> bool:
    from inspect import signature

    try:
        signature(step).bind(None, None)
    except (TypeError, ValueError):
        return False
    return True


def _advice(kind: str) -> str:
    if kind.startswith("torchvision.transforms.transforms."):
        return f": torchvision.transforms.v2.{kind.rpartition('.')[2]} moves boxes too."
    if kind.startswith("albumentations."):
        return ": corrlight.data.Albumentations with `steps` holds those of albumentations."
    return "."


class TorchvisionTransform:
    """A transform of ``torchvision.transforms.v2`` on image, boxes, crowds and masks alike.

    Its chance comes from the sample's generator, so that it does not depend on workers or resumes.
    Boxes are cut to the picture afterwards, and objects without a pixel left are removed.

    Args:
        transform: The transform.
    """

    def __init__(self, transform: v2.Transform) -> None:
        self.transform = transform

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the transformed sample.

        Raises:
            ValueError: The transform made the picture something else than ``(3, H, W)``.
        """
        size = sample.size
        inputs = {
            "image": Image(sample.image),
            "boxes": _boxes(sample.boxes, size),
            "crowds": _boxes(sample.crowd_boxes, size),
        }
        if sample.masks is not None:
            inputs["masks"] = Mask(sample.masks)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            out = self.transform(inputs)
        return _rebuilt(sample, out, type(self.transform).__name__)


class Albumentations:
    """Transforms of albumentations (an extra: ``pip install albumentations``), in their order.

    Args:
        steps: Their options by their names, such as ``{"GaussNoise": {"p": 0.5}}``.

    Raises:
        ValueError: albumentations is missing, has no such transform or refuses its options.
    """

    def __init__(self, steps: Mapping[str, Mapping[str, Any]]) -> None:
        try:
            import albumentations
        except ImportError as error:
            raise ValueError(
                "Expected albumentations to be installed for `Albumentations`, but it is not: "
                "pip install albumentations."
            ) from error
        made = []
        for name, options in steps.items():
            kind = getattr(albumentations, name, None)
            if not isinstance(kind, type):
                raise ValueError(f"Expected a transform of albumentations, but got {name!r}.")
            try:
                made.append(kind(**dict(options or {})))
            except (TypeError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise ValueError(f"albumentations refuses `{name}`: {reason}") from error
        self._compose = albumentations.Compose(
            made,
            bbox_params=albumentations.BboxParams(
                "pascal_voc", label_fields=["rows"], clip=True, min_area=1
            ),
        )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the transformed sample."""
        boxes = torch.cat([sample.boxes, sample.crowd_boxes])
        self._compose.set_random_seed(int(rng.integers(2**31)))
        out = self._compose(
            image=np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy()),
            bboxes=boxes.numpy().reshape(-1, 4),
            rows=np.arange(len(boxes)),
            **({} if sample.masks is None else {"masks": list(sample.masks.numpy())}),
        )
        rows = torch.as_tensor(np.asarray(out["rows"], np.int64))
        kept = torch.as_tensor(np.asarray(out["bboxes"], np.float32).reshape(-1, 4))
        objects, masks = rows < len(sample.boxes), None
        if sample.masks is not None:
            every = (
                np.stack(out["masks"])
                if len(sample.masks)
                else np.zeros((0, *out["image"].shape[:2]))
            )
            masks = torch.as_tensor(every, dtype=torch.uint8)[rows[objects]]
        return replace(
            sample,
            image=torch.from_numpy(np.ascontiguousarray(out["image"].transpose(2, 0, 1))),
            boxes=kept[objects],
            labels=sample.labels[rows[objects]],
            crowd_boxes=kept[~objects],
            masks=masks,
        )


def _boxes(boxes: Tensor, size: tuple[int, int]) -> BoundingBoxes:
    return BoundingBoxes(boxes, format=BoundingBoxFormat.XYXY, canvas_size=size)


def _rebuilt(sample: Sample, out: Mapping[str, Any], name: str) -> Sample:
    image = out["image"].as_subclass(Tensor)
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(
            f"Expected {name} to return a picture of 3 channels, but got {tuple(image.shape)}."
        )
    if image.dtype.is_floating_point:  # ToDtype(scale=True): back to 0..255.
        image = (image * 255).round_().clamp_(0, 255)
    boxes, kept = _inside(out["boxes"], image)
    crowds, kept_crowds = _inside(out["crowds"], image)
    masks = sample.masks
    return replace(
        sample,
        image=image.to(torch.uint8),
        boxes=boxes[kept],
        labels=sample.labels[kept],
        crowd_boxes=crowds[kept_crowds],
        masks=None if masks is None else out["masks"].as_subclass(Tensor)[kept],
    )


def _inside(boxes: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Return boxes cut to a picture, and which of them have a pixel of it."""
    height, width = image.shape[-2:]
    high = boxes.new_tensor([width, height, width, height]).as_subclass(Tensor)
    cut = torch.minimum(boxes.as_subclass(Tensor).clamp(min=0), high)
    return cut, ((cut[:, 2:] - cut[:, :2]) >= 1).all(1)
