"""The numbers printed in the thesis (``experiments/thesis/*.csv``)."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import cache
from pathlib import Path

__all__ = ["MEASURES", "by_coefficient", "numbers", "records"]

_FOLDER = Path(__file__).parents[1] / "thesis"

# Column of the CSV files -> key in metrics.json; the bounds' level is added by the table.
MEASURES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_s": "AP_small",
    "ap_m": "AP_medium",
    "ap_l": "AP_large",
    "mask_ap": "mask_AP",
    "mask_ap50": "mask_AP50",
    "mask_ap75": "mask_AP75",
    "olrp": "oLRP",
    "olrp_loc": "oLRP_Loc",
    "olrp_fp": "oLRP_FP",
    "olrp_fn": "oLRP_FN",
    "beta_img": "beta_img",
    "beta_cls": "beta_cls",
    "seconds_per_iteration": "seconds_per_iteration",
    "ap_neg": "AP_lower",
    "ap50_neg": "AP50_lower",
    "ap75_neg": "AP75_lower",
    "ap_pos": "AP_upper",
    "ap50_pos": "AP50_upper",
    "ap75_pos": "AP75_upper",
}


@cache
def records(table: str) -> tuple[dict[str, str], ...]:
    """Return the lines of a table as printed, one dictionary a line."""
    with (_FOLDER / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def numbers(table: str, level: str = "", **line: str) -> dict[str, float]:
    """Return the measures of the one line of a table that ``line`` describes.

    Args:
        table: File name without suffix.
        level: ``img`` or ``cls``, of the bounds.
        **line: Columns and what they hold.

    Returns:
        Numbers as printed, by their key in ``metrics.json``.

    Raises:
        ValueError: If not exactly one line fits.
    """
    found = [r for r in records(table) if all(r[name] == text for name, text in line.items())]
    if len(found) != 1:
        raise ValueError(f"Expected one line of {table} with {line}, but got {len(found)}.")
    measures = {}
    for column, text in found[0].items():
        name = MEASURES.get(column)
        if name is not None and text:
            bound = name.endswith(("_lower", "_upper"))
            measures[f"{name}_{level}" if bound else name] = float(text)
    return measures


def by_coefficient(table: str, **line: str) -> Callable[[str], dict[str, float]]:
    """Return a function from the coefficient of a line to its measures."""

    def found(coefficient: str) -> dict[str, float]:
        return numbers(table, **line, coefficient=coefficient)

    return found
