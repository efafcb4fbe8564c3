"""Deformable DETR and what it is made of."""

from corrlight.detectors.deformable.attention import MultiScaleAttention
from corrlight.detectors.deformable.deformable_detr import DeformableDETR
from corrlight.detectors.deformable.layout import LevelLayout
from corrlight.detectors.deformable.proposals import EncoderProposals
from corrlight.detectors.deformable.transformer import (
    DeformableDecoderLayer,
    DeformableEncoderLayer,
)

__all__ = [
    "DeformableDETR",
    "DeformableDecoderLayer",
    "DeformableEncoderLayer",
    "EncoderProposals",
    "LevelLayout",
    "MultiScaleAttention",
]
