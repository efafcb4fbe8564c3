"""Detectors and images without objects, for their tests."""

import functools

import torch

from corrlight.backbones import FPN, ResNet
from corrlight.engine.build import build_module
from corrlight.engine.config import compose_config
from corrlight.structures import Batch, Targets


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
            valid_size=size,
            padded_size=tuple(-(-x // 32) * 32 for x in size),
            original_size=size,
            image_id=i,
        )
        for i, size in enumerate(sizes)
    )
    generator = torch.Generator().manual_seed(1)
    return Batch(images=torch.randn(2, 3, height, width, generator=generator), targets=targets)
