import json
from pathlib import Path

import pytest

from corrlight.metrics import Evaluation
from corrlight.metrics.errors.costs import SPECIAL, error_costs
from corrlight.metrics.errors.types import ErrorType
from tests.metrics.errors.cases import CASES, case

TIDECV = json.loads(Path(__file__).with_name("tidecv.json").read_text())
THEIRS = dict(
    zip(
        ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss", "FalsePos", "FalseNeg"),
        (*(t.key for t in ErrorType), *SPECIAL),
        strict=True,
    )
)


def costs_of(truth, results, **kinds):
    return error_costs(Evaluation.from_coco(truth, results, **kinds))


@pytest.mark.parametrize("name", CASES)
def test_costs_and_counts_are_those_of_tidecv(name):
    masks = bool(CASES[name][1].get("masks"))
    found, theirs = costs_of(*case(name), masks=masks), TIDECV[name]
    assert 100 * found.mean_ap == pytest.approx(theirs["ap"], abs=1e-9)
    for short, ours in THEIRS.items():
        assert 100 * found.cost(ours) == pytest.approx(theirs["costs"][short], abs=1e-9), ours
    counts = dict(zip((t.key for t in ErrorType), found.counts.sum(1).tolist(), strict=True))
    assert counts == {THEIRS[short]: count for short, count in theirs["counts"].items()}
