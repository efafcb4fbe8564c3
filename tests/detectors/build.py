"""Detectors and images without objects, for their tests."""

import functools

import torch

from corrlight.backbones import FPN, ResNet
from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from corrlight.structures import Batch, Targets

OBJECTS = [[4.0, 5, 40, 44], [50, 20, 90, 60]]


def build(detector, *args, extra_levels="on_output", **kwargs):
    """A small dense detector."""
    torch.manual_seed(0)
    backbone = ResNet(18, base_width=4, frozen_stages=0)
    neck = functools.partial(FPN, out_channels=32, extra_levels=extra_levels)
    return detector(backbone, neck, 3, *args, num_convs=1, **kwargs)


def full_size(name, *overrides):
    """The model of ``conf/detector/<name>.yaml`` without memory for its weights."""
    options = [f"detector={name}", "backbone.weights=null", "data.num_classes=80", *overrides]
    with torch.device("meta"):
        return build_module(compose_config(options).config).detector


def batch_of(height=96, width=128):
    """Two images; the second is smaller."""
    sizes = [(height, width), (height - 40, width - 50)]
    targets = tuple(
        Targets(
            boxes=torch.zeros(0, 4),
            labels=torch.zeros(0, dtype=torch.int64),
            masks=torch.zeros(0, *size, dtype=torch.bool),
            valid_size=size,
            padded_size=tuple(-(-x // 32) * 32 for x in size),
            original_size=size,
            image_id=i,
        )
        for i, size in enumerate(sizes)
    )
    generator = torch.Generator().manual_seed(1)
    return Batch(images=torch.randn(2, 3, height, width, generator=generator), targets=targets)


def batch_with(*boxes: list[list[float]]) -> Batch:
    """Images with such objects; the second is smaller."""
    sizes = [(64, 96), (50, 70)]
    targets = tuple(
        Targets(
            boxes=torch.tensor(b).reshape(-1, 4),
            labels=torch.arange(len(b)) % 3,
            valid_size=sizes[i],
            padded_size=(64, 96),
            original_size=sizes[i],
            image_id=10 + i,
        )
        for i, b in enumerate(boxes)
    )
    generator = torch.Generator().manual_seed(3)
    return Batch(images=torch.randn(len(boxes), 3, 64, 96, generator=generator), targets=targets)
