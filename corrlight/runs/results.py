"""A finished evaluation to the files of the run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from corrlight.atomic import atomic_path, write_text
from corrlight.runs.folder import RunFolder

if TYPE_CHECKING:
    from corrlight.metrics.evaluator import EvaluationResult

__all__ = ["rounded_seconds", "write_results"]


def write_results(
    folder: RunFolder, result: EvaluationResult, extra: Mapping[str, Any] | None = None
) -> None:
    """Write what was found and, last, ``metrics.json``.

    Before it come ``detections.json``, ``per_class.csv``, ``score_iou.npz`` and, where there are
    objects to compare with, ``errors.json`` and ``confusion_matrix.csv``.
    ``metrics.json`` marks the run as finished, so it comes when everything else is complete.
    """
    write_text(folder.path / "detections.json", json.dumps(result.detections) + "\n")
    folder.write_csv("per_class.csv", result.per_class)
    if result.errors is not None:
        costs, views = result.errors()
        content = {name: view.content() for name, view in views.items()}
        # Thousands of points of curves: on one line, as `corrlight analyze` writes them.
        text = json.dumps({"costs": dict(costs), **content}, allow_nan=False)
        write_text(folder.path / "errors.json", text + "\n")
        rows = [{"measured": name, **row} for name, view in views.items() for row in view.rows()]
        folder.write_csv("confusion_matrix.csv", rows)
    points = result.score_iou
    assert points is not None  # The main process has them.
    with atomic_path(folder.path / "score_iou.npz") as path, path.open("wb") as file:
        np.savez_compressed(
            file,
            scores=points.scores,
            best_ious=points.ious,
            labels=points.labels,
        )
    folder.write_json("metrics.json", {**result.metrics, **(extra or {})})


def rounded_seconds(seconds: Mapping[str, float]) -> dict[str, float]:
    """Return what measures took, and their ``total``, for ``environment.json``."""
    return {name: round(s, 4) for name, s in {**seconds, "total": sum(seconds.values())}.items()}
