"""Chapters 1 to 3: what correlation is and does, and how the methods before score."""

from __future__ import annotations

from collections.abc import Callable

from corrlight.losses import concordance, pearson
from experiments import figure_2_3, figure_3_1, table_2_1
from experiments.claims.claim import Claim, Numbers, ThesisNumbers
from experiments.claims.conditions import (
    ATSS_KEYS,
    ENFORCING,
    TABLES,
    all_below,
    all_gain,
    is_best,
)
from experiments.claims.evidence import Evidence, NotMeasuredError, Sample, all_of
from experiments.harness.thesis_numbers import records

__all__ = ["ANALYSIS"]

# "About 10 AP" of Table 3.2, where the thesis prints 9.4 to 11.8.
_ROOM = 8


def _beta_follows(table: str, measure: str) -> Claim:
    pairs = (("atss-ap", "atss-alrp"), ("atss-ap", "atss-rs"), ("atss", "atss-centerness"),
             ("atss", "atss-qfl"))  # fmt: skip
    return Claim(
        section="Observation 1",
        text=f"{measure} rises from AP Loss to aLRP and RS Loss, from focal loss to head and QFL",
        criterion=f"each of the four has the larger {measure}",
        holds=lambda n: all_of(
            [
                n.value(table, f"{better}-none", measure) > n.value(table, f"{worse}-none", measure)
                for worse, better in pairs
            ]
        ),
    )


def _by_us(condition: Callable[[], bool]) -> Callable[[Numbers], bool]:
    """Return a condition on what is worked out here; the thesis draws it without all numbers."""

    def holds(n: Numbers) -> bool:
        if isinstance(n, ThesisNumbers):
            raise NotMeasuredError("not printed")
        return condition()

    return holds


def _pearson_ignores_the_slope() -> bool:
    line, half, cloud = (float(pearson(x, y)) for *_, x, y in figure_2_3.points())
    return abs(line - half) < 1e-6 and cloud < line - 0.01


def _concordance_wants_the_line() -> bool:
    line, half, _ = (float(concordance(x, y)) for *_, x, y in figure_2_3.points())
    return abs(line - 1) < 1e-6 and half < line - 0.01


def _worked_example() -> bool:
    ap = {name: figure_3_1.evaluate(name)[1]["AP75"] or 0.0 for name in ("positive", "negative")}
    kept = {name: float(figure_3_1.survivors(name).ious.mean()) for name in ap}
    return kept["positive"] > kept["negative"] and ap["positive"] > ap["negative"]


def _precisions() -> bool:
    """The best box comes first with positive correlation, and last with negative."""
    first, last = (figure_3_1.precision_at(name, 0.75) for name in ("positive", "negative"))
    return (first[0], last[-1]) == (1.0, 0.2)


def _has_room(n: Numbers, row: str) -> Evidence:
    """Whether a row could gain about 10 AP from perfect class-level correlation."""
    room = n.value("table_3_2", row, "AP_upper_cls") - n.value("table_3_2", row, "AP")
    return room >= _ROOM


def _between_its_bounds(n: Numbers, row: str) -> Evidence:
    def value(measure: str) -> Sample:
        return n.value("table_3_2", row, measure)

    return all_of(
        [
            *((value("AP50") - value(f"AP50_{end}_cls")).within(-0.1, 0.1)
              for end in ("lower", "upper")),
            value("AP_lower_cls") < value("AP"),
            value("AP") < value("AP_upper_cls"),
        ]
    )  # fmt: skip


def _alrp_is_extreme(n: Numbers) -> Evidence:
    """Whether aLRP Loss has the most beta_img and the least AP of Table 3.1."""
    key = "atss-alrp-none"
    least = n.value("table_3_1", key, "AP")
    others = [row.key for row in TABLES["table_3_1"].rows if row.key != key]
    return all_of(
        [
            is_best(n, "table_3_1", key, "beta_img"),
            *(least <= n.value("table_3_1", other, "AP") for other in others),
        ]
    )


def _no_parameters(n: Numbers) -> bool:
    if isinstance(n, ThesisNumbers):
        lines = {r["method"]: r["no_additional_learnable_parameters"] for r in records("table_2_1")}
        return lines["Correlation Loss"] == "yes" and lines["Using Aux Head"] == "no"
    return (
        table_2_1.added_parameters("Correlation Loss", "atss_small") == 0
        and table_2_1.added_parameters("Using Aux Head", "atss_small") > 0
    )


ANALYSIS: tuple[Claim, ...] = (
    Claim(
        section="Table 2.1",
        text="Correlation Loss adds no learnable parameters, an auxiliary head does",
        criterion="counted on ATSS",
        holds=_no_parameters,
    ),
    Claim(
        section="Figure 2.3",
        text="Pearson's coefficient sees how close points are to a line, not the slope of the line",
        criterion="equal on a line and one half as steep, lower on scattered points",
        holds=_by_us(_pearson_ignores_the_slope),
    ),
    Claim(
        section="Figure 2.4",
        text="concordance is 1 on the line y = x and changes with the scale",
        criterion="1 on that line, lower on one half as steep",
        holds=_by_us(_concordance_wants_the_line),
    ),
    Claim(
        section="Figure 3.1",
        text="positive correlation keeps better boxes in NMS and gives a higher AP75",
        criterion="the worked example with our NMS and AP",
        holds=_by_us(_worked_example),
    ),
    Claim(
        section="3.1.2",
        text="P75 of the best box is 1.00 with positive and 0.20 with negative correlation",
        criterion="the same five true positives with the scores turned round",
        holds=_by_us(_precisions),
    ),
    _beta_follows("table_3_1", "beta_img"),
    _beta_follows("table_3_2", "beta_cls"),
    Claim(
        section="Observation 2",
        text="NMS-free detectors too could gain about 10 AP from class-level correlation",
        criterion=f"upper bound at least {_ROOM} AP above AP for Sparse R-CNN and DETR",
        holds=lambda n: all_of(
            [_has_room(n, row) for row in ("sparse_rcnn-none", "detr-none")]
        ),
    ),
    Claim(
        section="Observation 2",
        text="every detector could gain about 10 AP",
        criterion=f"upper bound at least {_ROOM} AP above AP for every row of Table 3.2",
        holds=lambda n: all_of([_has_room(n, row.key) for row in TABLES["table_3_2"].rows]),
    ),
    Claim(
        section="Observation 2",
        text="AP50 does not depend on class-level correlation, AP does",
        criterion="AP50 equal to both of its bounds within 0.1; AP between its bounds",
        holds=lambda n: all_of(
            [_between_its_bounds(n, row.key) for row in TABLES["table_3_2"].rows]
        ),
    ),
    Claim(
        section="Observation 3",
        text="beta_img lies within 27.2 and 33.8, far below 100",
        criterion="every beta_img below 50",
        holds=lambda n: all_below(n, "table_3_1", "beta_img", 50),
    ),
    Claim(
        section="Observation 3",
        text="beta_cls lies within 37.5 and 47.0, far below 100",
        criterion="every beta_cls below 60",
        holds=lambda n: all_below(n, "table_3_2", "beta_cls", 60),
    ),
    Claim(
        section="Observation 4",
        text="more correlation is not always more AP: aLRP Loss has most beta_img, least AP",
        criterion="both extremes are aLRP Loss's",
        holds=_alrp_is_extreme,
    ),
    Claim(
        section="Figure 1.3 (a)",
        text="head, QFL and RS Loss raise both beta_cls and AP of ATSS",
        criterion="both larger than with focal loss, for each of the three",
        holds=lambda n: all_of(
            [
                n.value("table_5_4", f"{key}-none", m) > n.value("table_5_4", "atss-none", m)
                for key in ENFORCING
                for m in ("AP", "beta_cls")
            ]
        ),
    ),
    Claim(
        section="Figure 1.3 (a)",
        text="Correlation Loss raises AP in all four settings of ATSS",
        criterion="gain in AP above 0 in each",
        holds=all_gain("table_5_4", [f"{key}-concordance" for key in ATSS_KEYS]),
    ),
    Claim(
        section="Figure 1.3 (a)",
        text="... consistently owing to an increased beta_cls",
        criterion="gain in beta_cls above 0 in each",
        holds=all_gain("table_5_4", [f"{key}-concordance" for key in ATSS_KEYS], "beta_cls"),
    ),
)  # fmt: skip
