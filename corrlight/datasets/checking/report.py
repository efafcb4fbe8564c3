"""What a check found, as one HTML page with plots."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from corrlight.datasets.checking.check import SetCheck
from corrlight.datasets.checking.plots import draw_plots
from corrlight.datasets.checking.problems import Problem
from corrlight.datasets.checking.text import result_line
from corrlight.datasets.html_page import html_page, inline_svg

__all__ = ["report_page"]


def report_page(found: SetCheck, title: str) -> str:
    """Return the page.

    Args:
        found: The result of a check.
        title: Of the page.
    """
    body = [f"<p>{escape(result_line(found))}</p>", *_splits(found), "<h2>Problems</h2>"]
    if found.problems:
        body.append("<table><thead><tr><th></th><th>where</th><th>what</th></tr></thead><tbody>")
        body += [_problem(problem) for problem in found.problems]
        body.append("</tbody></table>")
    else:
        body.append("<p>None.</p>")
    plots = draw_plots(found)
    if plots:
        body.append('<h2>Plots</h2><div class="plots">')
        body += [
            f'<figure id="{name}"><img alt="{escape(caption)}" src="{inline_svg(svg)}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
            for name, (caption, svg) in plots.items()
        ]
        body.append("</div>")
    return html_page(title, body)


def _splits(found: SetCheck) -> Iterator[str]:
    yield (
        "<table><thead><tr><th>split</th><th>pictures</th><th>objects</th><th>empty</th>"
        "<th>crowds</th><th>masks</th><th>longer side</th></tr></thead><tbody>"
    )
    for split in found.splits:
        numbers = found.statistics.get(split.name)
        if numbers is None:
            yield f"<tr><td>{escape(split.name)}</td><td colspan=6>cannot be read</td></tr>"
            continue
        counts = (
            numbers.num_images, numbers.num_objects, numbers.num_empty, numbers.num_crowds,
            numbers.num_masks,
        )  # fmt: skip
        cells = "".join(f'<td class="number">{count:,}</td>' for count in counts)
        sizes = numbers.picture_sizes
        shown = "-" if sizes is None else " to ".join(dict.fromkeys(map(str, sizes)))
        yield f'<tr><td>{escape(split.name)}</td>{cells}<td class="number">{shown}</td></tr>'
    yield "</tbody></table>"


def _problem(problem: Problem) -> str:
    examples = "".join(f"<li><code>{escape(line)}</code></li>" for line in problem.examples)
    more = problem.count - len(problem.examples)
    if problem.examples and more > 0:
        examples += f"<li>and {more:,} more</li>"
    way_out = f"<br>{escape(problem.ways_out)}" if problem.ways_out else ""
    return (
        f'<tr><td class="{problem.level}">{problem.level}</td><td>{escape(problem.where)}</td>'
        f"<td>{escape(problem.text)}{way_out}<ul>{examples}</ul></td></tr>"
    )
