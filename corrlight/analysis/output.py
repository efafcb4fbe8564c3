"""The output folder: complete or not there."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corrlight.analysis.comparison import Comparison
from corrlight.analysis.figures import draw_figures, save_figure
from corrlight.analysis.report import render_report
from corrlight.atomic import check_writable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_output", "write_output"]

_MARK = "report.html"


def check_output(folder: Path) -> None:
    """Raise an error if ``folder`` cannot be written, or holds something else.

    Raises:
        OSError: If it is a file, a folder of other content, or lies where nothing can be written.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"Expected `--out` to be a folder, but {folder} is a file.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARK).is_file():
        raise FileExistsError(
            f"Expected `--out` to be new, empty or an earlier analysis, but {folder} holds "
            "something else."
        )
    check_writable(folder, "--out")


def write_output(
    folder: Path, comparison: Comparison, step: Callable[[], None] = lambda: None
) -> None:
    """Write metrics, classes, figures and report; an earlier analysis in ``folder`` is replaced.

    Args:
        folder: Where; it appears when everything in it is complete.
        comparison: What.
        step: Called after each figure.
    """
    with _aside(folder) as aside:
        text = json.dumps(comparison.content(), indent=2, sort_keys=True, allow_nan=False)
        (aside / "metrics.json").write_text(text + "\n", encoding="utf-8")
        _write_rows(aside / "per_class.csv", comparison.per_class())
        if comparison.has_errors:
            text = json.dumps(comparison.errors(), allow_nan=False)
            (aside / "errors.json").write_text(text + "\n", encoding="utf-8")
            _write_rows(aside / "confusion_matrix.csv", comparison.matrix_rows())
        images: dict[str, bytes] = {}
        figures = aside / "figures"
        figures.mkdir()

        def save(figure: Figure, name: str) -> None:
            save_figure(figure, figures, name)
            images[name] = (figures / f"{name}.svg").read_bytes()

        draw_figures(comparison, save, step)
        (aside / _MARK).write_text(render_report(comparison, images), encoding="utf-8")


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """Yield a folder beside ``folder`` that takes its place if all goes well."""
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    aside.mkdir()
    try:
        yield aside
        earlier = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        if folder.exists():
            folder.rename(earlier)
        aside.rename(folder)
        shutil.rmtree(earlier, ignore_errors=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
