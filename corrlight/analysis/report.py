"""``report.html``: one page that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

from corrlight.analysis.comparison import Comparison
from corrlight.analysis.figures import captions
from corrlight.analysis.tables import caption, findings, table_cells

__all__ = ["render_report"]

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .18rem .6rem; text-align: right; white-space: nowrap; }
th { border-bottom: 1px solid #888; vertical-align: bottom; }
td:first-child, th:first-child, td.text, th.text { text-align: left; }
tr.first td { border-top: 1px solid #ccc; }
tbody tr:hover { background: #f2f6fa; }
th.sort { cursor: pointer; } th.sort:hover { text-decoration: underline; }
figure { margin: 1rem 0 2rem; } img { max-width: 100%; height: auto; }
figcaption, .note { color: #444; font-size: .85rem; }
.warning { color: #8a3b00; }
""".strip()

# Click on a heading of the table by class: sort by it, numbers as numbers, empty cells last.
_SCRIPT = """
for (const th of document.querySelectorAll("th.sort")) th.addEventListener("click", () => {
  const k = th.cellIndex, body = th.closest("table").tBodies[0];
  const down = th.dataset.down = th.dataset.down === "1" ? "0" : "1";
  const key = row => row.cells[k].textContent;
  const rows = [...body.rows].sort((a, b) => {
    const x = key(a), y = key(b);
    if (x === "" || y === "") return (x === "") - (y === "");
    const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
    return down === "1" ? -order : order;
  });
  body.append(...rows);
});
""".strip()


def render_report(comparison: Comparison, figures: Mapping[str, bytes]) -> str:
    """Return the page.

    Args:
        comparison: What to report.
        figures: SVG files by name.
    """
    title = "corrlight: " + ", ".join(a.name for a in comparison.analyses)
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>\n{_STYLE}\n</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *_inputs(comparison),
        "<h2>Measures</h2>",
        _measures(comparison),
        f'<p class="note">{escape(caption(comparison))}</p>',
        *(f'<p class="note">{escape(line)}</p>' for line in findings(comparison)),
        "<h2>Figures</h2>",
    ]
    for name, text in captions(comparison).items():
        if name in figures:
            data = base64.b64encode(figures[name]).decode("ascii")
            parts.append(
                f'<figure id="{name}"><img alt="{escape(text)}" '
                f'src="data:image/svg+xml;base64,{data}">'
                f"<figcaption>{escape(text)}</figcaption></figure>"
            )
    parts += ["<h2>Classes</h2>", _classes(comparison), f"<script>\n{_SCRIPT}\n</script>"]
    return "\n".join([*parts, "</body></html>", ""])


def _inputs(comparison: Comparison) -> list[str]:
    metrics = comparison.analyses[0].metrics
    rows = [
        f"Ground truth <code>{escape(comparison.ground_truth)}</code>: "
        f"{metrics['num_images']:,} images, {metrics['num_objects']:,} objects, "
        f"{len(comparison.class_names):,} classes."
    ]
    rows += [
        f"{escape(a.name)}: <code>{escape(str(a.path))}</code>, "
        f"{a.metrics['num_detections']:,} detections."
        for a in comparison.analyses
    ]
    notes = [f'<p class="warning">{escape(note)}.</p>' for note in comparison.notes]
    return [f"<p>{'<br>'.join(rows)}</p>", *notes]


def _measures(comparison: Comparison) -> str:
    header, cells = table_cells(comparison)
    lines = ['<div class="wide"><table><thead><tr><th>measure</th>']
    lines += [f"<th>{escape(name)}</th>" for name in header]
    lines.append("</tr></thead><tbody>")
    for section in cells.values():
        for k, (name, row) in enumerate(section):
            texts = "".join(f"<td>{escape(text)}</td>" for text in row)
            lines.append(f"<tr{' class=first' * (k == 0)}><td>{name}</td>{texts}</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])


def _classes(comparison: Comparison) -> str:
    rows = comparison.per_class()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ['<div class="wide"><table><thead><tr>']
    for key in columns:
        text = key in ("file", "name")
        lines.append(f'<th class="sort{" text" * text}">{escape(key)}</th>')
    lines.append("</tr></thead><tbody>")
    for row in rows:
        cells = "".join(
            f"<td{' class=text' * isinstance(row.get(k), str)}>{escape(_text(row.get(k)))}</td>"
            for k in columns
        )
        lines.append(f"<tr>{cells}</tr>")
    note = '<p class="note">Fractions; a click on a heading sorts.</p>'
    return "\n".join([note, *lines, "</tbody></table></div>"])


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
