"""A row of a table: a setting, a Correlation Loss, and what the thesis printed for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from experiments.harness.setting import Setting

__all__ = ["COEFFICIENTS", "NOT_PUBLISHED", "NOT_PUBLISHED_MARK", "Row", "with_spearman_rank"]

# Weights that the thesis and the published configurations leave out, and what marks them.
NOT_PUBLISHED = 0.2
NOT_PUBLISHED_MARK = "*"

COEFFICIENTS = {
    "none": "",
    "pearson": "Pearson",
    "concordance": "Concordance",
    "spearman": "Spearman",
    "spearman_rank": "spearman_rank (ours)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table.

    Attributes:
        setting: The detector.
        coefficient: Choice of the group ``corr``.
        weight: lambda; None without Correlation Loss.
        published: Whether the weight is (otherwise it is :data:`NOT_PUBLISHED`).
        thesis: Numbers of the thesis, as printed, by their key in ``metrics.json``.
        options: Further ``run.py`` options.
        suffix: What tells the row from others with the same setting and coefficient.
        label: Printed name; by default made of setting and coefficient.
        baseline: Key of the row that it is compared with.
    """

    setting: Setting
    coefficient: str = "none"
    weight: float | None = None
    published: bool = True
    thesis: Mapping[str, float] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    suffix: str = ""
    label: str = ""
    baseline: str | None = None

    @property
    def key(self) -> str:
        """The row's name on the command line and in W&B, unique in its table."""
        parts = [self.setting.key, self.coefficient, self.suffix]
        return "-".join(part for part in parts if part)

    @property
    def name(self) -> str:
        """The row's printed name."""
        loss = COEFFICIENTS[self.coefficient]
        return self.label or (f"{self.setting.name} + {loss}" if loss else self.setting.name)

    @property
    def weight_text(self) -> str:
        """Lambda as printed; a mark says that it was not published."""
        if self.weight is None:
            return ""
        return f"{self.weight:g}{'' if self.published else NOT_PUBLISHED_MARK}"

    def run_options(self, toy: bool = False) -> list[str]:
        """Return the ``run.py`` options of the row, without the seed."""
        options = [*(self.setting.toy if toy else self.setting.full), f"corr={self.coefficient}"]
        if self.coefficient != "none":
            options += [f"corr.weight={self.weight:g}", *self.setting.corr]
        return [*options, *self.options]


def with_spearman_rank(rows: list[Row]) -> tuple[Row, ...]:
    """Return the rows, each published Spearman Loss followed by one that does rank.

    At the published strength the soft rank of values in [0, 1] is affine, so that the published
    ``spearman`` is Pearson's; ``spearman_rank`` is ours and has no number in the thesis.
    """
    out = []
    for row in rows:
        out.append(row)
        if row.coefficient == "spearman":
            label = row.label.replace("Spearman", COEFFICIENTS["spearman_rank"])
            out.append(replace(row, coefficient="spearman_rank", thesis={}, label=label))
    return tuple(out)
