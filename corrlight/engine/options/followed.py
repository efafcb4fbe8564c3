"""The measure that a run follows: ``best.ckpt``, ``patience``, and the line of an epoch."""

from __future__ import annotations

import difflib

from corrlight.metrics.coco_evaluate import CocoEvaluate
from corrlight.metrics.evaluator import DetectionEvaluator

__all__ = ["check_followed"]

_USUAL = "val/AP"


def check_followed(name: str, evaluator: DetectionEvaluator) -> None:
    """Check that the validations of a run take the measure that it follows.

    Lightning finds out after the first epoch. Losses are left to it.

    Args:
        name: ``optimized_metric``.
        evaluator: Of the validation.

    Raises:
        ValueError: A measure of masks and a detector that has none, or a measure that nothing
            takes.
    """
    split, _, plain = name.partition("/")
    if name == _USUAL and any(isinstance(m, CocoEvaluate) for m in evaluator.metrics):
        return  # What names say, without reading annotations.
    if plain.rpartition("/")[2].startswith("loss"):
        return
    if split != "val":
        raise ValueError(
            "Expected `optimized_metric` to be a measure of the validation, val/AP for example, "
            f"but got '{name}'."
        )
    if plain.startswith("mask_") and not evaluator.masks:
        raise ValueError(
            f"Expected `optimized_metric`={name} with a detector that finds masks "
            "(detector=yolact, for example), but this one finds boxes alone."
        )
    taken = sorted(evaluator.names())
    if plain not in taken:
        by_lower = {measure.lower(): measure for measure in taken}
        close = difflib.get_close_matches(plain.lower(), by_lower, n=1, cutoff=0.5)
        hint = f" Did you mean 'val/{by_lower[close[0]]}'?" if close else ""
        if name == _USUAL:
            hint = " metric=[default,...] keeps the usual measures."
        raise ValueError(
            f"Expected `optimized_metric` to be a measure that the validation takes (`metric` adds "
            f"some), but got '{name}'.{hint}"
        )
