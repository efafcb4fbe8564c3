"""How exact a detector itself is: no file in float32 can be asked for more."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import Tensor

from corrlight.export.check import Agreement, Tolerances, compare_raw, whole_images
from corrlight.export.files import plain_ops
from corrlight.export.network import ExportNetwork
from corrlight.predict.model import Model
from corrlight.structures import Batch

__all__ = ["own_rounding", "widened"]

# A file adds up in another order than the detector: each is off from float64 by about as much, and
# the largest of a few pictures varies.
_FACTOR = 4
# Beyond this weights magnify rounding so much that a comparison says nothing.
_WIDEST = Tolerances(boxes=0.1, scores=1e-3)


def own_rounding(model: Model, batches: Sequence[Tensor]) -> Agreement:
    """Return how far a detector in float32 is from itself in float64, before post-processing.

    Args:
        model: The run, on the CPU.
        batches: ``(B, 3, H, W)`` pictures each, 0 to 255.
    """
    double = copy.deepcopy(ExportNetwork(model, raw=True)).double()
    total = Agreement()
    with plain_ops():
        for images in batches:
            normalized = (images - model.collate.mean) / model.collate.std
            single = model.detector(Batch(images=normalized, targets=whole_images(images)))[-1]
            found = double(images.double())
            total = total.joined(compare_raw(found, double.output_names, single, images.shape))
    return total


def widened(own: Agreement) -> Tolerances:
    """Return what a file may differ by from a detector of such rounding, within fixed limits."""
    usual = Tolerances()
    return Tolerances(
        boxes=min(max(usual.boxes, _FACTOR * own.boxes), _WIDEST.boxes),
        scores=min(max(usual.scores, _FACTOR * own.scores), _WIDEST.scores),
    )
