"""Sections 5.2 and 5.3: detectors and losses without and with Correlation Loss."""

from __future__ import annotations

from experiments.claims.claim import TOLERANCE, Claim, Numbers
from experiments.claims.conditions import DETECTORS, all_gain, gain_claim, is_best
from experiments.claims.evidence import Evidence, all_of, any_of

__all__ = ["COMPARISON", "CONCLUSION"]


def _better_gains(n: Numbers, key: str, wanted: float) -> Evidence:
    """Whether the better of both losses gains so much AP."""
    rows = (f"{key}-concordance", f"{key}-spearman")
    return any_of([n.gain("table_5_1", row) >= wanted for row in rows])


COMPARISON: tuple[Claim, ...] = (
    gain_claim("table_5_1", "atss-concordance", 1.1),
    gain_claim("table_5_1", "sparse_rcnn-spearman", 1.6),
    gain_claim("table_5_1", "sparse_rcnn-spearman", 2.0, "AP75"),
    gain_claim("table_5_3", "yolact-spearman", 0.7),
    Claim(
        section="Table 5.1",
        text="about 1 AP on NMS-based detectors consistently",
        criterion=f"the better of both losses gains {1 - TOLERANCE:.1f} on each of the four",
        holds=lambda n: all_of(
            [_better_gains(n, key, 1 - TOLERANCE) for key in DETECTORS if key != "sparse_rcnn"]
        ),
    ),
    Claim(
        section="Table 5.1",
        text="about 1.5 AP on the NMS-free Sparse R-CNN",
        criterion=f"the better of both losses gains {1.5 - TOLERANCE:.1f}",
        holds=lambda n: _better_gains(n, "sparse_rcnn", 1.5 - TOLERANCE),
    ),
    gain_claim("table_5_1", "retinanet-spearman", 1.0),
    gain_claim("table_5_1", "retinanet-spearman", 1.0, "oLRP"),
    gain_claim("table_5_1", "foveabox-concordance", 0.7),
    gain_claim("table_5_1", "atss-concordance", 1.0, "oLRP"),
    gain_claim("table_5_1", "paa-concordance", 1.0),
    gain_claim("table_5_1", "paa-concordance", 1.0, "oLRP"),
    Claim(
        section="5.2.2",
        text="both losses improve Sparse R-CNN",
        criterion="gain in AP above 0 for both",
        holds=all_gain("table_5_1", ["sparse_rcnn-concordance", "sparse_rcnn-spearman"]),
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
        holds=all_gain("table_5_2", ["sparse_rcnn_3x-concordance", "sparse_rcnn_3x-spearman"]),
    ),
    Claim(
        section="5.2.3",
        text="YOLACT's gain is 1.7% of its mask AP",
        criterion="between 1.4% and 2.0%",
        holds=lambda n: (
            n.gain("table_5_3", "yolact-spearman") / n.value("table_5_3", "yolact-none", "AP")
        ).within(0.014, 0.020),
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
        holds=lambda n: all_of(
            [
                n.value("table_5_4", "atss-concordance", "AP")
                >= n.value("table_5_4", f"{key}-none", "AP") - TOLERANCE
                for key in ("atss-qfl", "atss-rs")
            ]
        ),
    ),
    gain_claim("table_5_4", "atss-centerness-concordance", 0.7),
    gain_claim("table_5_4", "atss-rs-concordance", 0.3),
    Claim(
        section="5.3.1",
        text="with RS Loss it outperforms all compared methods",
        criterion="largest AP of Table 5.4",
        holds=lambda n: is_best(n, "table_5_4", "atss-rs-concordance", "AP"),
    ),
    Claim(
        section="5.3.2",
        text="Concordance Loss raises beta_img and beta_cls of ATSS by about 5",
        criterion="each by at least 3",
        holds=lambda n: all_of(
            [n.gain("table_5_4", "atss-concordance", m) >= 3 for m in ("beta_img", "beta_cls")]
        ),
    ),
    Claim(
        section="5.3.2",
        text="with QFL it has the largest beta_img, with RS Loss the largest beta_cls",
        criterion="both are the largest of Table 5.4",
        holds=lambda n: all_of(
            [
                is_best(n, "table_5_4", row, measure)
                for measure, row in (
                    ("beta_img", "atss-qfl-concordance"),
                    ("beta_cls", "atss-rs-concordance"),
                )
            ]
        ),
    ),
)  # fmt: skip

# Section 6.1, which sums up: it belongs behind all others.
CONCLUSION = Claim(
    section="6.1",
    text="Correlation Loss consistently improves all six detectors",
    criterion="gain in AP above 0 for both losses on each",
    holds=lambda n: all_of(
        [
            n.gain(table, f"{key}-{coefficient}") > 0
            for table, keys in (("table_5_1", DETECTORS), ("table_5_3", ("yolact",)))
            for key in keys
            for coefficient in ("concordance", "spearman")
        ]
    ),
)
