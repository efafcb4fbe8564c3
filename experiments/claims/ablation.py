"""Section 5.5: coefficients, lambda, training time, branches and classes."""

from __future__ import annotations

import statistics

from experiments import table_5_7, table_5_8
from experiments.claims.claim import Claim, NotMeasuredError, Numbers, OurNumbers
from experiments.claims.conditions import DETECTORS
from experiments.harness.thesis_numbers import records

__all__ = ["ABLATION"]

_LINES_5_7 = ("atss-concordance", "atss-rs-concordance", "sparse_rcnn-spearman",
              "yolact-concordance")  # fmt: skip
_GRID = ("0.1", "0.2", "0.3", "0.4", "0.5")


def _lowest_in(n: Numbers, measure: str) -> int:
    """Detectors of Table 5.1 on which Spearman has the lowest value, alone or shared."""
    count = 0
    for key in DETECTORS:
        values = {c: n.value("table_5_1", f"{key}-{c}", measure)
                  for c in ("none", "concordance", "spearman")}  # fmt: skip
        count += values["spearman"] <= min(values.values())
    return count


def _mean_ap(n: Numbers, weight: str) -> float:
    return statistics.fmean(n.value("table_5_7", f"{line}-{weight}", "AP") for line in _LINES_5_7)


def _improved_classes(n: Numbers) -> float:
    """Share of the classes that improve."""
    if isinstance(n, OurNumbers):
        collected = n.collected("table_5_8")
        without = table_5_8.class_ap(collected, "sparse_rcnn-none")
        with_loss = table_5_8.class_ap(collected, "sparse_rcnn-spearman")
    else:
        lines = records("table_5_8")
        without = {line["class"]: float(line["ap_sparse_rcnn"]) for line in lines}
        with_loss = {line["class"]: float(line["ap_corr_sparse_rcnn"]) for line in lines}
    more, both = table_5_8.improved(without, with_loss)
    if not both:
        raise NotMeasuredError("table_5_8")
    return more / both


def _overhead(n: Numbers) -> bool:
    def seconds(row: str) -> float:
        return n.value("training_time", row, "seconds_per_iteration")

    return seconds("sparse_rcnn-spearman") / seconds("sparse_rcnn-none") - 1 <= 0.05


ABLATION: tuple[Claim, ...] = (
    Claim(
        section="5.5.1",
        text="Spearman Loss has the lowest oLRP_Loc in all experiments of Table 5.1",
        criterion="lowest, or shared, on 5 of 5 detectors",
        holds=lambda n: _lowest_in(n, "oLRP_Loc") == len(DETECTORS),
    ),
    Claim(
        section="5.5.1",
        text="... but rarely the best oLRP_FP or oLRP_FN",
        criterion="in at most 3 of 10 cases",
        holds=lambda n: _lowest_in(n, "oLRP_FP") + _lowest_in(n, "oLRP_FN") <= 3,
    ),
    Claim(
        section="5.5.1",
        text="Pearson is similar to concordance on ATSS and to Spearman on Sparse R-CNN",
        criterion="AP within 0.5 of each",
        holds=lambda n: (
            abs(
                n.value("table_5_6", "atss-pearson", "AP")
                - n.value("table_5_6", "atss-concordance", "AP")
            )
            <= 0.5
            and abs(
                n.value("table_5_6", "sparse_rcnn-pearson", "AP")
                - n.value("table_5_6", "sparse_rcnn-spearman", "AP")
            )
            <= 0.5
        ),
    ),
    Claim(
        section="5.5.1",
        text="Pearson does not outperform the other two in both cases",
        criterion="not above both on ATSS and on Sparse R-CNN",
        holds=lambda n: not all(
            n.value("table_5_6", f"{key}-pearson", "AP")
            > max(n.value("table_5_6", f"{key}-{c}", "AP") for c in ("concordance", "spearman"))
            for key in ("atss", "sparse_rcnn")
        ),
    ),
    Claim(
        section="5.5.2",
        text="(i) lambda 0.2 provides the best performance overall",
        criterion="largest AP in the mean of the four models",
        holds=lambda n: max(_GRID, key=lambda weight: _mean_ap(n, weight)) == "0.2",
    ),
    Claim(
        section="5.5.2",
        text="(ii) performance is not very sensitive to lambda",
        criterion="AP varies by at most 1.5 over 0.1 to 0.5, for each model",
        holds=lambda n: all(
            max(values) - min(values) <= 1.5
            for line in _LINES_5_7
            for values in [[n.value("table_5_7", f"{line}-{w}", "AP") for w in _GRID]]
        ),
    ),
    Claim(
        section="5.5.2",
        text="(iii) outside of 0.1 to 0.5 performance drops",
        criterion="0.05, 0.7 and 1 each below the best of the grid, for each model",
        holds=lambda n: all(
            n.value("table_5_7", f"{line}-{weight:g}", "AP")
            < max(n.value("table_5_7", f"{line}-{w}", "AP") for w in _GRID)
            for line in _LINES_5_7
            for weight in table_5_7.OURS_ONLY
        ),
    ),
    Claim(
        section="5.5.3",
        text="the overhead in training time is negligible",
        criterion="an iteration takes at most 5% longer",
        holds=_overhead,
    ),
    Claim(
        section="5.5.4",
        text="gradients to the classifier alone beat both heads, which beat the box head alone",
        criterion="AP in this order",
        holds=lambda n: (
            n.value("backprop_heads", "sparse_rcnn-spearman-classification", "AP")
            > n.value("backprop_heads", "sparse_rcnn-spearman-both", "AP")
            > n.value("backprop_heads", "sparse_rcnn-spearman-localization", "AP")
        ),
    ),
    Claim(
        section="5.5.5",
        text="64 of 80 classes improve",
        criterion="at least three quarters of the classes",
        holds=lambda n: _improved_classes(n) >= 0.75,
    ),
)  # fmt: skip
