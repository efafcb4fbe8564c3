"""What a user holds of Correlation Loss in another library's detector."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Protocol

import torch
from torch import Tensor

from corrlight.arguments import check_number
from corrlight.distributed import gather_positives
from corrlight.losses import CorrelationLoss
from corrlight.metrics.functional import image_correlation
from corrlight.plug.records import PositiveRecords
from corrlight.structures import Positives

__all__ = ["Correlation", "Seam", "second"]

_log = logging.getLogger(__name__)

# Training steps with objects after which a loss that was zero in all of them is reported.
PATIENCE = 100


class Seam(Protocol):
    """Where the loss enters a detector."""

    def set_weight(self, weight: float) -> None:
        """Take a new factor of the loss."""
        ...

    def remove(self) -> None:
        """Leave the detector as it was."""
        ...


class Correlation:
    """Correlation Loss in a detector, until :meth:`remove`.

    Attributes:
        loss: The loss with its options.
        library: Name and version of the detector's library.
        value: Loss of the last step, unweighted, summed over the layers: a detached scalar on the
            detector's device, or None before the first step.
        num_positives: What it was computed from: positives of this rank (with ``sync``, of all) and
            of all layers.
        validation: Positives of the images that the detector saw in evaluation mode with their
            objects. The first of them after a training step forgets those before it.

    Args:
        loss: The loss.
        library: Name and version of the detector's library.
    """

    def __init__(self, loss: CorrelationLoss, library: str) -> None:
        self.loss = loss
        self.library = library
        self.value: Tensor | None = None
        self.num_positives = 0
        self.validation = PositiveRecords()
        self.seam: Seam | None = None
        self._last: Positives | None = None
        self._num_images = 0
        self._steps = 0
        self._seen = 0
        self._nonzero: Tensor | None = None
        self._warned = False
        self._trained = False

    @property
    def weight(self) -> float:
        """lambda_corr; may be set at any time.

        Raises:
            ValueError: It is set to anything but a finite number >= 0.
        """
        return self.loss.weight

    @weight.setter
    def weight(self, weight: float) -> None:
        self.loss.weight = check_number("weight", weight)
        if self.seam is not None:
            self.seam.set_weight(self.loss.weight)

    @property
    def beta(self) -> float | None:
        """beta_img of the last step: positives of the last layer, mean over images, or None."""
        if self._last is None:
            return None
        scores, ious = self._last.scores, self._last.ious()
        return image_correlation(
            scores.cpu().numpy(),
            ious.cpu().numpy(),
            self._last.image_idx.cpu().numpy(),
            self._num_images,
        ).mean

    def remove(self) -> None:
        """Leave the detector as it was before; a second call does nothing.

        Raises:
            ValueError: Something else has replaced the same function since.
        """
        if self.seam is not None:
            self.seam.remove()
            self.seam = None

    def step(
        self,
        layers: Sequence[Positives],
        final: Positives,
        image_ids: Sequence[int | None],
        num_objects: int,
        training: bool,
    ) -> Tensor:
        """Return the unweighted loss of one batch; for the adapters.

        Args:
            layers: Positives that the loss is computed from, layer by layer.
            final: Positives of the last layer that beta_img is measured on.
            image_ids: Of every image, None where the targets have none.
            num_objects: Of the batch.
            training: Whether this is a training step: positives of all ranks with ``sync``, and no
                record. Outside of one there is no collective, so ranks may see different numbers
                of batches.
        """
        if training and self.loss.sync:
            layers = gather_positives(layers, len(image_ids))
        value = torch.stack([self._evaluate(positives) for positives in layers]).sum()
        self.value = value.detach()
        self.num_positives = sum(len(positives) for positives in layers)
        self._last = _detached(final)
        self._num_images = len(image_ids)
        if training:
            self._trained = True
            if num_objects:
                self._watch(self.value)
        else:
            if self._trained:
                self.validation.clear()
                self._trained = False
            self.validation.add(self._last, image_ids)
        return value

    def _evaluate(self, positives: Positives) -> Tensor:
        finite = positives.scores.isfinite().all() & positives.pred_boxes.isfinite().all()
        if not finite:
            # Mixed precision skips such steps by itself, which an error would keep it from.
            return (positives.scores.sum() + positives.pred_boxes.sum()) * float("nan")
        return self.loss(positives)

    def _watch(self, value: Tensor) -> None:
        """Report a loss that never was anything but zero, without waiting for the device."""
        if self._warned:
            return
        nonzero = (value != 0).long()
        self._nonzero = nonzero if self._nonzero is None else self._nonzero + nonzero
        self._steps += 1
        self._seen += self.num_positives
        if self._steps < PATIENCE:
            return
        if not int(self._nonzero):
            self._warned = True
            if self._seen:
                why = (
                    f"{self._seen} positives had no correlation: too few in a group, or scores or "
                    "IoUs that are all equal (predicted boxes without area)"
                )
            else:
                why = "no positive was found"
            _log.warning(
                "Correlation Loss was zero in %d training steps with objects: %s (%s).",
                PATIENCE,
                why,
                self.library,
            )
        self._steps, self._seen, self._nonzero = 0, 0, None

    def __repr__(self) -> str:
        state = f"in {self.library}" if self.seam is not None else "removed"
        return f"{type(self).__name__}({self.loss!r}, {state})"


def second() -> ValueError:
    """Return the error of a detector that has the loss already."""
    return ValueError(
        "Expected `model` without Correlation Loss, but it has one already: call `remove()` of its "
        "handle, corrlight.plug.correlation_of(model), first."
    )


def _detached(positives: Positives) -> Positives:
    return replace(
        positives, **{f.name: getattr(positives, f.name).detach() for f in fields(positives)}
    )
