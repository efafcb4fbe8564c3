"""Every numbered claim and observation of the thesis, on the runs that there are.

Run: ``python -m experiments.claims [--toy] [--seeds K] [run.py options ...]``

Nothing is trained: a claim whose rows have not run is not measured. Beside ours stands what the
thesis' own printed numbers say, which is not always what its text says.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from corrlight.atomic import write_text
from experiments import (
    backprop_heads,
    figure_3_1,
    table_2_1,
    table_3_1,
    table_3_2,
    table_5_1,
    table_5_2,
    table_5_3,
    table_5_4,
    table_5_5,
    table_5_6,
    table_5_7,
    table_5_8,
    training_time,
)
from experiments.claim import (
    TOLERANCE,
    Claim,
    NotMeasuredError,
    Numbers,
    OurNumbers,
    ThesisNumbers,
)
from experiments.command import collect
from experiments.grid import FORMATS, Grid, render
from experiments.identity import Locator
from experiments.thesis_numbers import records

TABLES = {
    module.TABLE.name: module.TABLE
    for module in (
        table_3_1, table_3_2, table_5_1, table_5_2, table_5_3, table_5_4, table_5_6, table_5_7,
        table_5_8, backprop_heads, training_time,
    )
}  # fmt: skip

_ENFORCING = ("atss-centerness", "atss-qfl", "atss-rs")
_ATSS = ("atss", *_ENFORCING)
_DETECTORS = ("retinanet", "foveabox", "atss", "paa", "sparse_rcnn")
_LINES_5_7 = ("atss-concordance", "atss-rs-concordance", "sparse_rcnn-spearman",
              "yolact-concordance")  # fmt: skip
_GRID = ("0.1", "0.2", "0.3", "0.4", "0.5")


def _gains(table: str, row: str, claimed: float, measure: str = "AP") -> Claim:
    """A claim of one gain."""
    found = TABLES[table].row(row)
    assert found is not None, row
    lower = measure == "oLRP"
    wanted = max(claimed - TOLERANCE, claimed / 2)

    def holds(n: Numbers) -> bool:
        gain = n.gain(table, row, measure)
        return round(-gain if lower else gain, 3) >= wanted - 1e-9

    sign = "-" if lower else "+"
    return Claim(
        section=TABLES[table].title.split(":")[0],
        text=f"{found.name} improves {measure} by {claimed:g}",
        criterion=f"{sign}{wanted:g} or better (the seeds' spread is about {TOLERANCE:g})",
        holds=holds,
    )


def _beta_follows(table: str, measure: str) -> Claim:
    pairs = (("atss-ap", "atss-alrp"), ("atss-ap", "atss-rs"), ("atss", "atss-centerness"),
             ("atss", "atss-qfl"))  # fmt: skip
    return Claim(
        section="Observation 1",
        text=f"{measure} rises from AP Loss to aLRP and RS Loss, from focal loss to head and QFL",
        criterion=f"each of the four has the larger {measure}",
        holds=lambda n: all(
            n.value(table, f"{better}-none", measure) > n.value(table, f"{worse}-none", measure)
            for worse, better in pairs
        ),
    )


def _all(table: str, measure: str, n: Numbers) -> list[float]:
    return [n.value(table, row.key, measure) for row in TABLES[table].rows]


def _all_gain(table: str, rows: Sequence[str], measure: str = "AP") -> Callable[[Numbers], bool]:
    """Return the condition that every row is above its baseline."""
    return lambda n: all(n.gain(table, row, measure) > 0 for row in rows)


def _best_of(n: Numbers, table: str, measure: str) -> str:
    """Return the row of a table with the largest value."""
    return max((row.key for row in TABLES[table].rows), key=lambda r: n.value(table, r, measure))


def _best_gain(n: Numbers, key: str, measure: str = "AP") -> float:
    rows = (f"{key}-concordance", f"{key}-spearman")
    return max(n.gain("table_5_1", row, measure) for row in rows)


def _lowest_in(n: Numbers, measure: str) -> int:
    """Detectors of Table 5.1 on which Spearman has the lowest value, alone or shared."""
    count = 0
    for key in _DETECTORS:
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


_SERVER_ROWS = {
    "ResNet-101-DCN": "sparse_rcnn_r101_dcn-spearman",
    "ResNeXt-101-DCN": "sparse_rcnn_x101_dcn-spearman",
}


def _sota(text: str, backbone: str, method: str, margin: float) -> Claim:
    """A comparison on test-dev with a published method; ours needs the server."""

    def holds(n: Numbers) -> bool:
        lines = {(r["method"], r["backbone"]): float(r["ap"]) for r in records("table_5_5")}
        ours = lines["Corr-Sparse R-CNN", backbone]
        if isinstance(n, OurNumbers):
            ours = n.server_ap(_SERVER_ROWS[backbone])
        return round(ours - lines[method, backbone], 3) >= margin

    return Claim(
        section="5.4", text=text, criterion=f"AP on test-dev higher by {margin:g}", holds=holds
    )


def _overhead(n: Numbers) -> bool:
    def seconds(row: str) -> float:
        return n.value("training_time", row, "seconds_per_iteration")

    return seconds("sparse_rcnn-spearman") / seconds("sparse_rcnn-none") - 1 <= 0.05


def _worked_example(n: Numbers) -> bool:
    if isinstance(n, ThesisNumbers):
        raise NotMeasuredError("the thesis draws it without all numbers")
    values = {name: figure_3_1.evaluate(name)[1] for name in ("positive", "negative")}
    kept = {name: float(figure_3_1.survivors(name).ious.mean()) for name in values}
    ap = {name: float(v["AP75"] or 0.0) for name, v in values.items()}
    return kept["positive"] > kept["negative"] and ap["positive"] > ap["negative"]


def _no_parameters(n: Numbers) -> bool:
    if isinstance(n, ThesisNumbers):
        lines = {r["method"]: r["no_additional_learnable_parameters"] for r in records("table_2_1")}
        return lines["Correlation Loss"] == "yes" and lines["Using Aux Head"] == "no"
    return (
        table_2_1.added_parameters("Correlation Loss", "atss_small") == 0
        and table_2_1.added_parameters("Using Aux Head", "atss_small") > 0
    )


CLAIMS: tuple[Claim, ...] = (
    Claim(
        section="Table 2.1",
        text="Correlation Loss adds no learnable parameters, an auxiliary head does",
        criterion="counted on ATSS",
        holds=_no_parameters,
    ),
    Claim(
        section="Figure 3.1",
        text="positive correlation keeps better boxes in NMS and gives a higher AP75",
        criterion="the worked example with our NMS and AP",
        holds=_worked_example,
    ),
    _beta_follows("table_3_1", "beta_img"),
    _beta_follows("table_3_2", "beta_cls"),
    Claim(
        section="Observation 2",
        text="NMS-free detectors too could gain about 10 AP from class-level correlation",
        criterion="upper bound at least 8 AP above AP for Sparse R-CNN and DETR",
        holds=lambda n: all(
            n.value("table_3_2", row, "AP_upper_cls") - n.value("table_3_2", row, "AP") >= 8
            for row in ("sparse_rcnn-none", "detr-none")
        ),
    ),
    Claim(
        section="Observation 2",
        text="every detector could: AP50 does not depend on class-level correlation, AP does",
        criterion="AP50 equal to both of its bounds within 0.1; AP between its bounds",
        holds=lambda n: all(
            abs(n.value("table_3_2", r.key, "AP50") - n.value("table_3_2", r.key, bound)) <= 0.1
            and n.value("table_3_2", r.key, "AP_lower_cls")
            < n.value("table_3_2", r.key, "AP")
            < n.value("table_3_2", r.key, "AP_upper_cls")
            for r in TABLES["table_3_2"].rows
            for bound in ("AP50_lower_cls", "AP50_upper_cls")
        ),
    ),
    Claim(
        section="Observation 3",
        text="beta_img lies within 27.2 and 33.8, far below 100",
        criterion="every beta_img below 50",
        holds=lambda n: max(_all("table_3_1", "beta_img", n)) < 50,
    ),
    Claim(
        section="Observation 3",
        text="beta_cls lies within 37.5 and 47.0, far below 100",
        criterion="every beta_cls below 60",
        holds=lambda n: max(_all("table_3_2", "beta_cls", n)) < 60,
    ),
    Claim(
        section="Observation 4",
        text="more correlation is not always more AP: aLRP Loss has most beta_img, least AP",
        criterion="both extremes are aLRP Loss's",
        holds=lambda n: (
            n.value("table_3_1", "atss-alrp-none", "beta_img")
            == max(_all("table_3_1", "beta_img", n))
            and n.value("table_3_1", "atss-alrp-none", "AP") == min(_all("table_3_1", "AP", n))
        ),
    ),
    Claim(
        section="Figure 1.3 (a)",
        text="head, QFL and RS Loss raise both beta_cls and AP of ATSS",
        criterion="both larger than with focal loss, for each of the three",
        holds=lambda n: all(
            n.value("table_5_4", f"{key}-none", m) > n.value("table_5_4", "atss-none", m)
            for key in _ENFORCING
            for m in ("AP", "beta_cls")
        ),
    ),
    Claim(
        section="Figure 1.3 (a)",
        text="Correlation Loss raises AP in all four settings of ATSS",
        criterion="gain in AP above 0 in each",
        holds=_all_gain("table_5_4", [f"{key}-concordance" for key in _ATSS]),
    ),
    Claim(
        section="Figure 1.3 (a)",
        text="... consistently owing to an increased beta_cls",
        criterion="gain in beta_cls above 0 in each",
        holds=_all_gain("table_5_4", [f"{key}-concordance" for key in _ATSS], "beta_cls"),
    ),
    _gains("table_5_1", "atss-concordance", 1.1),
    _gains("table_5_1", "sparse_rcnn-spearman", 1.6),
    _gains("table_5_1", "sparse_rcnn-spearman", 2.0, "AP75"),
    _gains("table_5_3", "yolact-spearman", 0.7),
    Claim(
        section="Table 5.1",
        text="about 1 AP on NMS-based detectors consistently",
        criterion=f"the better of both losses gains {1 - TOLERANCE:.1f} on each of the four",
        holds=lambda n: all(
            _best_gain(n, key) >= 1 - TOLERANCE - 1e-9 for key in _DETECTORS if key != "sparse_rcnn"
        ),
    ),
    Claim(
        section="Table 5.1",
        text="about 1.5 AP on the NMS-free Sparse R-CNN",
        criterion=f"the better of both losses gains {1.5 - TOLERANCE:.1f}",
        holds=lambda n: _best_gain(n, "sparse_rcnn") >= 1.5 - TOLERANCE - 1e-9,
    ),
    _gains("table_5_1", "retinanet-spearman", 1.0),
    _gains("table_5_1", "retinanet-spearman", 1.0, "oLRP"),
    _gains("table_5_1", "foveabox-concordance", 0.7),
    _gains("table_5_1", "atss-concordance", 1.0, "oLRP"),
    _gains("table_5_1", "paa-concordance", 1.0),
    _gains("table_5_1", "paa-concordance", 1.0, "oLRP"),
    Claim(
        section="5.2.2",
        text="both losses improve Sparse R-CNN",
        criterion="gain in AP above 0 for both",
        holds=_all_gain("table_5_1", ["sparse_rcnn-concordance", "sparse_rcnn-spearman"]),
    ),
    Claim(
        section="5.2.2",
        text="the gains of Sparse R-CNN are owing to APs with larger IoUs",
        criterion="Spearman gains more in AP75 than in AP50",
        holds=lambda n: (
            n.gain("table_5_1", "sparse_rcnn-spearman", "AP75")
            > n.gain("table_5_1", "sparse_rcnn-spearman", "AP50")
        ),
    ),
    Claim(
        section="5.2.2",
        text="so does its stronger setting (36 epochs, 300 proposals)",
        criterion="gain in AP above 0 for both losses",
        holds=_all_gain("table_5_2", ["sparse_rcnn_3x-concordance", "sparse_rcnn_3x-spearman"]),
    ),
    Claim(
        section="5.2.3",
        text="YOLACT's gain is 1.7% of its mask AP",
        criterion="between 1.4% and 2.0%",
        holds=lambda n: (
            0.014
            <= n.gain("table_5_3", "yolact-spearman") / n.value("table_5_3", "yolact-none", "AP")
            <= 0.020
        ),
    ),
    Claim(
        section="5.3.1",
        text="Concordance Loss without a head beats the auxiliary head",
        criterion="larger AP",
        holds=lambda n: (
            n.value("table_5_4", "atss-concordance", "AP")
            > n.value("table_5_4", "atss-centerness-none", "AP")
        ),
    ),
    Claim(
        section="5.3.1",
        text="... and is on par with QFL and RS Loss",
        criterion=f"AP at most {TOLERANCE:g} below each",
        holds=lambda n: all(
            n.value("table_5_4", "atss-concordance", "AP")
            >= n.value("table_5_4", f"{key}-none", "AP") - TOLERANCE - 1e-9
            for key in ("atss-qfl", "atss-rs")
        ),
    ),
    _gains("table_5_4", "atss-centerness-concordance", 0.7),
    _gains("table_5_4", "atss-rs-concordance", 0.3),
    Claim(
        section="5.3.1",
        text="with RS Loss it outperforms all compared methods",
        criterion="largest AP of Table 5.4",
        holds=lambda n: _best_of(n, "table_5_4", "AP") == "atss-rs-concordance",
    ),
    Claim(
        section="5.3.2",
        text="Concordance Loss raises beta_img and beta_cls of ATSS by about 5",
        criterion="each by at least 3",
        holds=lambda n: all(
            n.gain("table_5_4", "atss-concordance", m) >= 3 for m in ("beta_img", "beta_cls")
        ),
    ),
    Claim(
        section="5.3.2",
        text="with QFL it has the largest beta_img, with RS Loss the largest beta_cls",
        criterion="both are the largest of Table 5.4",
        holds=lambda n: all(
            _best_of(n, "table_5_4", measure) == row
            for measure, row in (
                ("beta_img", "atss-qfl-concordance"),
                ("beta_cls", "atss-rs-concordance"),
            )
        ),
    ),
    _sota("on R101-DCN 1.8 AP above RS-R-CNN", "ResNet-101-DCN", "RS-R-CNN", 1.8),
    _sota("... more than 1 AP above GFLv2", "ResNet-101-DCN", "GFLv2", 1.0),
    _sota("... above VFNet", "ResNet-101-DCN", "VFNet", 0.1),
    _sota("... more than 2 AP above TSP R-CNN", "ResNet-101-DCN", "TSP R-CNN", 2),
    _sota("on X101-DCN above RS-Mask R-CNN+", "ResNeXt-101-DCN", "RS-Mask R-CNN+", 0.1),
    _sota("... about 2 AP above Sparse R-CNN", "ResNeXt-101-DCN", "Sparse R-CNN", 1.7),
    _sota("... about 1 AP above Deformable DETR", "ResNeXt-101-DCN", "Deformable DETR", 0.7),
    Claim(
        section="5.5.1",
        text="Spearman Loss has the lowest oLRP_Loc in all experiments of Table 5.1",
        criterion="lowest, or shared, on 5 of 5 detectors",
        holds=lambda n: _lowest_in(n, "oLRP_Loc") == len(_DETECTORS),
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


def claims_grid(
    toy: bool, seeds: int, options: Sequence[str], server_files: Sequence[str] = ()
) -> Grid:
    """Return all claims with the verdict of the thesis' numbers and of ours."""
    server = table_5_5.server_results(table_5_5.TABLE, server_files)
    locator = Locator(draw=False)
    collected = {
        name: collect(table, toy=toy, seeds=seeds, options=options, locator=locator)
        for name, table in TABLES.items()
    }
    thesis, ours = ThesisNumbers(TABLES), OurNumbers(TABLES, collected, server)
    lines = [
        (str(k), c.section, c.text, c.criterion, c.verdict(thesis), c.verdict(ours))
        for k, c in enumerate(CLAIMS, 1)
    ]
    verdicts = [line[-1] for line in lines]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in ("holds", "fails", "not measured"))
    return Grid(
        title=f"Claims of the thesis{' (toy: small variants, embedded shapes)' if toy else ''}",
        header=("", "section", "claim", "criterion", "thesis' numbers", "ours"),
        lines=tuple(lines),
        notes=(
            f"Ours: {counts}; means of the run folders, {seeds} seed{'s' * (seeds > 1)} asked for.",
            "A claim about test-dev needs a result of the server (--server-result ROW=FILE).",
        ),
        text_columns=6,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the claims; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.claims", description=__doc__)
    parser.add_argument("--toy", action="store_true", help="of the toy runs")
    parser.add_argument("--seeds", type=int, default=1, metavar="K")
    parser.add_argument("--format", default="md", choices=sorted(FORMATS))
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there as well")
    table_5_5.add_options(parser)
    parser.add_argument("options", nargs="*", help="run.py options, as given to the tables")
    arguments = parser.parse_intermixed_args(argv)
    try:
        if arguments.seeds < 1:
            raise ValueError(f"Expected `--seeds` to be at least 1, but got {arguments.seeds}.")
        grid = claims_grid(
            arguments.toy, arguments.seeds, arguments.options, arguments.server_result
        )
        text = render(grid, arguments.format)
        if arguments.out is not None:
            write_text(arguments.out, text)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
