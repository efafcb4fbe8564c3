"""Figure 2.3: what Pearson's coefficient sees, with our own coefficient.

Run: ``python -m experiments.figure_2_3``
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from corrlight.losses import concordance, pearson, spearman
from experiments.harness.collection import Collected
from experiments.harness.command import main
from experiments.harness.grid import Grid
from experiments.harness.picture import new_figure
from experiments.harness.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Points = tuple[str, str, str, Tensor, Tensor]


def points() -> tuple[Points, ...]:
    """Return name, colour, marker, x and y of three sets: a line, its half, and a cloud."""
    x = torch.linspace(0.1, 0.95, 9, dtype=torch.float64)
    noise = torch.tensor([0.18, -0.05, 0.22, -0.2, 0.12, -0.24, 0.2, -0.16, -0.12])
    return (
        ("on the line y = x", "#d62728", "o", x, x),
        ("half as steep", "#009e73", "^", x, 0.5 * x),
        ("scattered", "#0072b2", "s", x, 0.15 + 0.7 * x + noise),
    )


def coefficient_grid(title: str) -> Grid:
    """Return all three coefficients of the three sets."""
    coefficients: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
        pearson,
        lambda x, y: spearman(x, y, relative_strength=1e-3),
        concordance,
    )
    return Grid(
        title=title,
        header=("points", "Pearson", "Spearman", "concordance"),
        lines=tuple(
            (name, *(f"{float(of(x, y)):.3f}" for of in coefficients))
            for name, _, _, x, y in points()
        ),
        notes=("Spearman with a soft rank so hard that it is the rank (relative strength 0.001).",),
        text_columns=1,
    )


def draw_points(title: str, symbol: str, of: Callable[[Tensor, Tensor], Tensor]) -> "Figure":
    """Draw the three sets, each with one coefficient in the legend."""
    figure = new_figure(4.6, 4.4)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], "--", color="grey", linewidth=1, label="y = x")
    for name, colour, marker, x, y in points():
        label = f"{name}: {symbol} = {float(of(x, y)):.2f}"
        axis.plot(x.numpy(), y.numpy(), marker, color=colour, label=label, markersize=6)
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="X", ylabel="Y")
    axis.set_title(title, fontsize=9)
    axis.legend(fontsize=8, loc="upper left")
    axis.grid(linewidth=0.4, alpha=0.5)
    return figure


def _draw(table: Table, collected: Collected) -> "Figure":
    return draw_points("Pearson sees how close to a line, not which line", "alpha", pearson)


TABLE = Table(
    name="figure_2_3",
    title="Figure 2.3: Pearson's correlation coefficient",
    rows=(),
    grid=lambda table, collected, digits: coefficient_grid(table.title),
    draw=_draw,
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
