import math

import pytest
from scipy.stats import ttest_rel

from experiments.claims.evidence import (
    Evidence,
    NotMeasuredError,
    Sample,
    all_of,
    any_of,
    at_least,
    at_most,
)

YES, NO, OPEN, LONG = Evidence(True), Evidence(False), Evidence(None, 7), Evidence(None, 30)


def sample(*values):
    return Sample(tuple(enumerate(values)))


@pytest.mark.parametrize(
    "b", [(1.0, 2.0, 3.5, 4.2), (1.3, 2.4, 3.2, 4.5), (0.2, 1.5, 2.1, 3.6), (5.0, 5.0, 5.0, 5.0)]
)
def test_a_comparison_is_the_paired_t_test(b):
    a = (1.1, 2.2, 3.1, 4.3)
    test = ttest_rel(a, b)
    found = sample(*a) > sample(*b)
    assert found.holds == (None if test.pvalue > 0.05 else test.statistic > 0)
    turned = sample(*b) < sample(*a)
    assert turned == found
    assert (found.seeds is None) == (found.holds is not None)


def test_seeds_are_paired_by_number():
    a, b = Sample(((0, 1.0), (2, 3.0))), Sample(((2, 1.0), (5, 9.0)))
    assert (a - b).values == ((2, 2.0),)
    assert (a - 1).values == ((0, 0.0), (2, 2.0))
    with pytest.raises(NotMeasuredError, match="no seed in common"):
        a - Sample(((7, 1.0),))


def test_printed_numbers_are_compared_as_they_are():
    assert (Sample.of(40.4) - Sample.of(39.3) >= 1.1) == YES
    assert (Sample.of(40.4) - Sample.of(39.3) >= 1.2) == NO
    assert (Sample.of(1.0) > 1.0) == NO
    assert (Sample.of(1.0) <= 1.0) == YES
    assert (Sample.of(3.0) / Sample.of(2.0)).within(1.4, 1.6) == YES


def test_one_seed_decides_nothing_and_equal_seeds_all():
    assert (sample(5.0) > 0) == Evidence(None)
    assert (sample(5.0, 5.0) > 4.9) == YES
    assert (sample(5.0, 5.0) > 5.0) == NO
    assert (sample(1.0, -1.0, 1.0, -1.0) > 0) == Evidence(None, math.inf)


def test_joined_evidence():
    assert all_of([YES, YES]) == YES
    assert all_of([YES, OPEN, NO]) == NO
    assert all_of([YES, OPEN, LONG]) == LONG
    assert all_of([OPEN, Evidence(None)]) == Evidence(None)
    assert any_of([NO, OPEN, YES]) == YES
    assert any_of([NO, NO]) == NO
    assert any_of([NO, OPEN]) == OPEN
    assert at_least(2, [YES, OPEN, NO]) == OPEN
    assert at_least(3, [YES, OPEN, NO]) == NO
    assert at_most(1, [YES, OPEN, NO]) == OPEN
    assert at_most(0, [YES, OPEN]) == NO
    assert at_most(2, [YES, OPEN]) == YES
    with pytest.raises(TypeError, match="all_of"):
        bool(YES)


def test_words():
    assert [str(e) for e in (YES, NO, OPEN)] == ["holds", "fails", "undecided (about 7 seeds)"]
    assert str(Evidence(None)) == "undecided (one seed shows no spread)"
    assert str(Evidence(None, math.inf)) == "undecided (more than 1,000 seeds)"
