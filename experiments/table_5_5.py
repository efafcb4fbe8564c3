"""Table 5.5: comparison with the state of the art on COCO test-dev.

Run: ``python -m experiments.table_5_5 [--server-result [ROW=]FILE] [run.py options ...]``

Annotations of test-dev are not public: our numbers come from files of the evaluation server alone,
and the AP on val2017 of the same runs stands in a column of its own.
"""

import json
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from experiments.harness.collection import Collected
from experiments.harness.command import main, select
from experiments.harness.grid import DASH, Grid, number
from experiments.harness.picture import OURS, hollow, new_figure
from experiments.harness.rivals import RIVALS
from experiments.harness.row import NOT_PUBLISHED, NOT_PUBLISHED_MARK, Row, with_spearman_rank
from experiments.harness.setting import SPARSE_RCNN_R101, SPARSE_RCNN_X101, Setting
from experiments.harness.table import Table, check_known, standard_notes, title_of, value_cell
from experiments.harness.thesis_numbers import MEASURES, records

_MEASURES = ("ap", "ap50", "ap75", "ap_s", "ap_m", "ap_l")
# Those of the schedules that are not of 36 epochs.
_EPOCHS = {"schedule=sgd_2x": "24", "schedule=deformable_detr_50": "50"}
_GROUPS = {"nms_based": "NMS-based", "nms_free": "NMS-free", "ours": "thesis"}
# Frames a second on a V100, by method and backbone (thesis, section 5.4).
FPS = {
    ("Corr-Sparse R-CNN", "ResNet-101-DCN"): 13.7,
    ("Corr-Sparse R-CNN", "ResNeXt-101-DCN"): 6.8,
    ("VFNet", "ResNet-101-DCN"): 12.6,
    ("RS-Mask R-CNN+", "ResNeXt-101-DCN"): 6.4,
}
# The server's own names of the measures, and those of other tools.
_SERVER_KEYS = {
    "AP": ("AP",),
    "AP50": ("AP_50", "AP50"),
    "AP75": ("AP_75", "AP75"),
    "AP_small": ("AP_small", "APs"),
    "AP_medium": ("AP_medium", "APm"),
    "AP_large": ("AP_large", "APl"),
}
_SUMMARY = re.compile(
    r"Average Precision\s*\(AP\)\s*@\[\s*IoU=(\S+)\s*\|\s*area=\s*(\w+)\s*\|"
    r"[^\]]*\]\s*=\s*(-?[\d.]+)"
)
_AREAS = {"small": "AP_small", "medium": "AP_medium", "large": "AP_large"}


def read_server_result(path: Path) -> dict[str, float]:
    """Return the AP measures of a result of COCO's evaluation server, as fractions.

    Args:
        path: JSON with named numbers, lines ``AP: 0.51``, or pycocotools' summary.

    Raises:
        ValueError: If it has not all six measures.
        OSError: If it cannot be read.
    """
    text = path.read_text(encoding="utf-8")
    named: dict[str, float] = {}
    for iou, area, value in _SUMMARY.findall(text):
        key = _AREAS.get(area) or {"0.50:0.95": "AP", "0.50": "AP50", "0.75": "AP75"}.get(iou)
        if key is not None:
            named[key] = float(value)
    if not named:
        named = _named_numbers(text, path)
    found = {}
    for measure, names in _SERVER_KEYS.items():
        value = next((named[name] for name in names if name in named), None)
        if value is None:
            raise ValueError(f"Expected {measure} in the server result {path}, but found none.")
        if not 0 <= value <= 1:
            raise ValueError(f"Expected {measure} of {path} in [0, 1], but got {value:g}.")
        found[measure] = value
    return found


def _named_numbers(text: str, path: Path) -> dict[str, float]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        pairs = re.findall(r"^\s*(\w+)\s*[:=]\s*([\d.]+)\s*$", text, re.MULTILINE)
        return {name: float(value) for name, value in pairs}
    if not isinstance(content, dict):
        raise ValueError(f"Expected named numbers in {path}, but got {type(content).__name__}.")
    return {name: float(v) for name, v in content.items() if isinstance(v, int | float)}


def _epochs(row: Row) -> str:
    """Return the epochs of a row on COCO."""
    return next((e for option, e in _EPOCHS.items() if option in row.setting.full), "36")


def _rival(setting: Setting) -> list[Row]:
    """Return a detector of the others without and with Correlation Loss."""
    base = Row(setting=setting)
    label = f"{setting.name}, Concordance{NOT_PUBLISHED_MARK}"
    return [
        base,
        Row(
            setting=setting,
            coefficient="concordance",
            weight=NOT_PUBLISHED,
            published=False,
            label=label,
            baseline=base.key,
        ),
    ]


def _grid(
    table: Table, collected: Collected, digits: int, *, server: Mapping[str, Mapping[str, float]]
) -> Grid:
    """The published methods as constants, then ours."""
    lines = [
        (
            _GROUPS[line["group"]],
            line["method"],
            line["backbone"],
            line["epochs"],
            *(line[measure] for measure in _MEASURES),
            DASH,
            str(FPS.get((line["method"], line["backbone"]), DASH)),
            line["venue"] or DASH,
            "constant, from the thesis",
        )
        for line in records("table_5_5")
    ]
    for row in table.rows:
        if row.key not in collected.results:
            continue
        result = collected.results[row.key]
        measured = server.get(row.key, {})
        method, backbone = row.name.split(", ", 1)
        lines.append(
            (
                "ours",
                method,
                backbone,
                DASH if collected.toy else _epochs(row),
                *(number(measured.get(MEASURES[measure]), digits) for measure in _MEASURES),
                value_cell(result.summary("AP"), digits),
                DASH,
                DASH,
                "; ".join(
                    [*result.remarks(collected.toy), *([] if measured else ["no server result"])]
                ),
            )
        )
    return Grid(
        title=title_of(table, collected),
        header=("", "method", "backbone", "epochs", "AP", "AP50", "AP75", "APs", "APm", "APl",
                f"{'toy' if collected.toy else 'val2017'} AP (ours)", "fps (V100, thesis)", "venue",
                "remarks"),
        lines=tuple(lines),
        notes=standard_notes(table, collected),
        text_columns=3,
    )  # fmt: skip


def _draw(
    table: Table, collected: Collected, *, server: Mapping[str, Mapping[str, float]]
) -> Figure:
    """AP on test-dev of all methods; ours where there is a server result, never of other data."""
    # Dots, not bars: the axis does not begin at 0.
    published = [(f"{r['method']}, {r['backbone']}", float(r["ap"])) for r in records("table_5_5")]
    ours = [
        (f"{row.name} (ours)", 100 * server[row.key]["AP"])
        for row in table.rows
        if row.key in server
    ]
    names = [name for name, _ in (*published, *ours)]
    figure = new_figure(8.0, 1.2 + 0.27 * len(names))
    axis = figure.subplots()
    for place, (_, ap) in enumerate((*published, *ours)):
        if place < len(published):
            hollow(axis, ap, place)
        else:
            axis.plot(ap, place, "o", color=OURS)
        axis.annotate(
            f"{ap:.1f}", (ap, place), (7, 0), textcoords="offset points", va="center", fontsize=7
        )
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.grid(linewidth=0.4, alpha=0.5)
    axis.tick_params(axis="x", labelsize=8)
    also = "dots: ours, by the server" if ours else "none of ours yet"
    axis.set_xlabel(f"AP on test-dev (hollow: constants from the thesis; {also})", fontsize=9)
    figure.suptitle(table.title, fontsize=10)
    return figure


def add_options(parser: ArgumentParser) -> None:
    """Add ``--server-result``."""
    parser.add_argument(
        "--server-result",
        action="append",
        default=[],
        metavar="[ROW=]FILE",
        help="result of COCO's evaluation server on test-dev for one of our rows, which has to be "
        "named unless --rows selects just one",
    )


def server_results(
    table: Table, given_files: Sequence[str], rows: str | None = None
) -> dict[str, dict[str, float]]:
    """Return the measures of the rows that have a server result.

    Args:
        table: The table.
        given_files: ROW=FILE, or FILE alone where there is just one row to select.
        rows: Of ``--rows``.

    Raises:
        ValueError: A row that does not exist or is left open, or no result in the file.
        OSError: A file cannot be read.
    """
    server: dict[str, dict[str, float]] = {}
    keys = [row.key for row in table.rows]
    selected = [row.key for row in select(table, rows).rows]
    for given in given_files:
        key, equals, path = given.partition("=")
        if not equals:
            if len(selected) != 1:
                raise ValueError(
                    "Expected `--server-result` to be ROW=FILE with one of the rows "
                    f"{', '.join(selected)}, but got '{given}'."
                )
            key, path = selected[0], given
        check_known("row", key, keys, table.name)
        if key in server:
            raise ValueError(f"Expected one `--server-result` a row, but got two of {key}.")
        server[key] = read_server_result(Path(path))
    return server


def _choose(table: Table, arguments: Namespace) -> Table:
    # Without --rows: all tables at once have no such option.
    server = server_results(table, arguments.server_result, getattr(arguments, "rows", None))
    return replace(table, grid=partial(_grid, server=server), draw=partial(_draw, server=server))


TABLE = Table(
    name="table_5_5",
    title="Table 5.5: comparison with the state of the art on COCO test-dev",
    columns=("AP",),
    rows=with_spearman_rank(
        [
            Row(
                setting=setting,
                coefficient="spearman",
                weight=0.2,
                label=f"{setting.name}, Spearman",
            )
            for setting in (SPARSE_RCNN_R101, SPARSE_RCNN_X101)
        ]
        + [row for setting in RIVALS for row in _rival(setting)]
    ),
    notes=(
        "Constants are printed in the thesis, which took them from the papers; none was measured "
        "here.",
        "Our test-dev numbers come from --server-result alone; val2017 AP is another data set, for "
        "orientation. Frames a second of ours are not measured.",
        "Detectors of others by us: their backbones and epochs; short side of 480 to 800 (36 "
        "epochs: to 960, and crops), deformable convolutions in the backbone and not, as in some "
        "of theirs, in the head; RS-Mask R-CNN without what makes it RS-Mask R-CNN+.",
    ),
    add_options=add_options,
    choose=_choose,
    grid=partial(_grid, server={}),
    draw=partial(_draw, server={}),
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
