"""What a detector is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

from torch import nn

from corrlight.structures import Activation, Batch, Match, PredictionField, Predictions, Targets

__all__ = ["Detector", "LooksAtDrawn"]


class Detector(nn.Module, ABC):
    """Images to raw predictions, the same in training, validation and test.

    Subclasses declare ``activation``, ``num_classes`` and, where their predictions have more than
    logits and boxes, what they ``give``. Assigner, criterion and postprocessor are separate objects
    that the detector's YAML names beside it; nothing here depends on ``self.training``, but for how
    many proposals go on and whether objects are among them (Faster R-CNN).
    """

    num_classes: int
    # How tensors list the classes, for those who map them by name: whether the background comes
    # before them, how many rows a class has in tensors whose names hold a text (1 otherwise), and
    # in which the first row stands for objects of all classes.
    background_first: ClassVar[bool] = False
    rows_per_class: ClassVar[Mapping[str, int]] = {}
    any_object_rows: Collection[str] = ()

    @property
    @abstractmethod
    def activation(self) -> Activation:
        """How logits become scores; a class attribute (``activation = "sigmoid"``) will do."""

    @property
    def gives(self) -> Collection[PredictionField]:
        """Those of the optional fields (``PredictionField``) that the predictions have.

        A class attribute (``gives = ("priors",)``) will do. Assigner, criterion and postprocessor
        that need another one are refused before the first batch.
        """
        return ()

    @abstractmethod
    def forward(self, batch: Batch) -> list[Predictions]:
        """Return the predictions of every stage; inference uses the last."""


@runtime_checkable
class LooksAtDrawn(Protocol):
    """A detector whose last stage may know, in training, what losses will see of its hypotheses.

    The module sets ``draw`` to what the assigner has of that name. It then looks at those alone,
    and its predictions have their match as ``drawn``.
    """

    draw: Callable[[Predictions, Sequence[Targets]], Match | None] | None
