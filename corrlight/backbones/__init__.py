"""Backbones and feature pyramids."""

from corrlight.backbones.deformable import DeformableConv
from corrlight.backbones.fpn import FPN
from corrlight.backbones.level_projection import LevelProjection
from corrlight.backbones.norm import FrozenNorm
from corrlight.backbones.resnet import ResNet
from corrlight.backbones.timm import Timm
from corrlight.ops.pyramid_conv import PyramidConv

__all__ = [
    "FPN",
    "DeformableConv",
    "FrozenNorm",
    "LevelProjection",
    "PyramidConv",
    "ResNet",
    "Timm",
]
