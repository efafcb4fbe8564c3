"""What a detector is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn

from corrlight.structures import Activation, Batch, Predictions

__all__ = ["Detector"]


class Detector(nn.Module, ABC):
    """Images to raw predictions, the same in training, validation and test.

    Subclasses declare ``activation``. Assigner, criterion and postprocessor are separate objects
    that the detector's YAML names beside it; nothing here depends on ``self.training``.
    """

    activation: ClassVar[Activation]
    num_classes: int

    @abstractmethod
    def forward(self, batch: Batch) -> list[Predictions]:
        """Return the predictions of every stage; inference uses the last."""
