"""Which way a measure is better: known here, used by checkpoints, tables, colours and claims."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from corrlight.metrics.calibration import Calibration
from corrlight.metrics.class_correlation import ClassCorrelation
from corrlight.metrics.coco_evaluate import CocoEvaluate
from corrlight.metrics.errors.metric import ErrorTypes
from corrlight.metrics.image_correlation import ImageCorrelation
from corrlight.metrics.metric import Metric
from corrlight.metrics.olrp import Olrp
from corrlight.metrics.score_bounds import ScoreBounds

__all__ = ["Direction", "better_direction", "logged_direction"]

Direction = Literal["min", "max"]

_OURS: tuple[type[Metric], ...] = (
    Calibration, ClassCorrelation, CocoEvaluate, ErrorTypes, ImageCorrelation, Olrp, ScoreBounds,
)  # fmt: skip
_SPLITS = ("train/", "val/", "test/")


def better_direction(
    name: str, metrics: Iterable[Metric | type[Metric]] = _OURS
) -> Direction | None:
    """Return "min" or "max", or None for a count, which is neither good nor bad.

    Args:
        name: A key of ``metrics.json``, with ``mask_`` for masks, or what is logged:
            ``val/oLRP_Loc``, ``train/loss``.
        metrics: Those that may have declared it (``smaller_is_better``); ours by default.
    """
    plain = name
    for split in _SPLITS:
        plain = plain.removeprefix(split)
    # Terms of a loss carry their stage before them: train/stage0/loss_box.
    if plain.rpartition("/")[2].startswith("loss"):
        return "min"
    plain = plain.removeprefix("mask_")
    if plain.startswith("num_"):
        return None
    smaller = {n for metric in metrics for n in getattr(metric, "smaller_is_better", ())}
    return "min" if plain in smaller else "max"


def logged_direction(name: str, module: Any) -> Direction | None:
    """Return :func:`better_direction` as the measures of a module's evaluator declare it.

    Args:
        name: A logged measure.
        module: A module; ours decide where it has no ``evaluator``.
    """
    evaluator = getattr(module, "evaluator", None)
    return better_direction(name, *([] if evaluator is None else [evaluator.metrics]))
