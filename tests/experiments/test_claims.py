"""Claims on the thesis' own numbers, on made-up runs and on none."""

from corrlight.reporting.runs import Run
from experiments.claim import OurNumbers, ThesisNumbers
from experiments.claims import CLAIMS, TABLES, main
from experiments.collection import Collected, Results


def verdicts(numbers):
    return {f"{c.section}: {c.text}": c.verdict(numbers) for c in CLAIMS}


def test_the_thesis_contradicts_its_own_numbers_in_three_places():
    """Known discrepancies: beta_cls of QFL, YOLACT's relative gain, the best lambda."""
    found = verdicts(ThesisNumbers(TABLES))
    fails = sorted(claim for claim, verdict in found.items() if verdict == "fails")
    assert len(fails) == 3, fails
    for part, claim in zip(
        ("lambda 0.2 provides the best", "YOLACT's gain is 1.7%", "owing to an increased beta_cls"),
        (fails[1], fails[0], fails[2]),
        strict=True,
    ):
        assert part in claim


def _collected(tmp_path, scale):
    """Runs that have the thesis' numbers, gains multiplied by ``scale``."""
    everything = {}
    for name, table in TABLES.items():
        results = {}
        for row in table.rows:
            values = dict(row.thesis)
            base = table.row(row.baseline)
            if base is not None:
                values = {m: base.thesis[m] + scale * (v - base.thesis[m])
                          for m, v in values.items() if m in base.thesis}  # fmt: skip
            metrics = {m: v / 100 for m, v in values.items()}
            runs = (Run(path=tmp_path / name / row.key, config={}, metrics=metrics),)
            results[row.key] = Results(row=row, runs=runs if values else (None,))
        everything[name] = Collected(results=results, toy=False)
    return everything


def test_claims_on_test_dev_take_results_of_the_server():
    rows = ("sparse_rcnn_r101_dcn-spearman", "sparse_rcnn_x101_dcn-spearman")
    for given, expected in (
        ({}, ["not measured"] * 7),
        ({rows[0]: {"AP": 0.496}}, ["holds"] * 4 + ["not measured"] * 3),
        ({row: {"AP": 0.30} for row in rows}, ["fails"] * 7),
        # The thesis' own: the same verdicts as of its constants.
        ({rows[0]: {"AP": 0.496}, rows[1]: {"AP": 0.510}}, ["holds"] * 7),
    ):
        numbers = OurNumbers(TABLES, {}, given)
        assert [c.verdict(numbers) for c in CLAIMS if c.section == "5.4"] == expected


def test_runs_with_the_numbers_of_the_thesis_give_its_verdicts(tmp_path):
    """Where our rows and the thesis' are the same: tables of gains."""
    ours = verdicts(OurNumbers(TABLES, _collected(tmp_path, 1.0)))
    thesis = verdicts(ThesisNumbers(TABLES))
    same = [c for c in ours if c.startswith(("Table 5.1", "Table 5.3", "5.2", "Observation"))]
    assert len(same) > 15
    for claim in same:
        assert ours[claim] == thesis[claim], claim


def test_runs_with_the_gains_turned_round_fail_every_claim_of_a_gain(tmp_path):
    ours = verdicts(OurNumbers(TABLES, _collected(tmp_path, -1.0)))
    gains = [claim for claim in ours if " improves " in claim and claim.startswith("Table 5.1")]
    assert len(gains) > 5
    assert {ours[claim] for claim in gains} == {"fails"}


def test_without_runs_only_what_needs_none_is_measured():
    empty = {
        name: Collected(
            results={row.key: Results(row=row, runs=(None,)) for row in table.rows}, toy=False
        )
        for name, table in TABLES.items()
    }
    found = verdicts(OurNumbers(TABLES, empty))
    measured = [claim for claim, verdict in found.items() if verdict != "not measured"]
    assert len(measured) == 2
    assert all(found[claim] == "holds" for claim in measured)


def test_wrong_options_are_one_line(capsys):
    assert main(["--seeds", "0"]) == 2
    assert main(["sede=1"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
