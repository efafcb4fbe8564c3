import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from corrlight.metrics.functional import average_ranks, grouped_correlation


def draw(seed, ties=True):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 6, 60)
    x, y = rng.random((2, 60))
    return (x.round(1), y.round(1), groups) if ties else (x, y, groups)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_ranks_equal_scipy(seed):
    x, _, groups = draw(seed)
    ranks = average_ranks(x, groups)
    for g in np.unique(groups):
        np.testing.assert_array_equal(ranks[groups == g], stats.rankdata(x[groups == g]))


def test_ranks_with_many_groups():
    x, _, groups = draw(0)
    far = groups * 100_000  # beyond 16 bits
    np.testing.assert_array_equal(average_ranks(x, far), average_ranks(x, groups))
    assert average_ranks([], []).shape == (0,)


@pytest.mark.parametrize("name", ["spearman", "pearson", "concordance"])
@pytest.mark.parametrize("seed", range(5))
def test_equals_scipy(name, seed):
    def concordance(x, y):
        covariance = np.cov(x, y)
        return 2 * covariance[0, 1] / (np.trace(covariance) + (x.mean() - y.mean()) ** 2)

    oracle = {
        "spearman": lambda x, y: stats.spearmanr(x, y).statistic,
        "pearson": lambda x, y: stats.pearsonr(x, y).statistic,
        "concordance": concordance,
    }[name]
    x, y, groups = draw(seed, ties=seed % 2 == 0)
    found = grouped_correlation(x, y, groups, 7, name)
    assert np.isnan(found.values[6])  # a group without members
    for g in range(6):
        mine = groups == g
        assert found.counts[g] == mine.sum()
        assert found.values[g] == pytest.approx(oracle(x[mine], y[mine]), abs=1e-12)
    assert found.mean == pytest.approx(found.values[:6].mean(), abs=1e-15)
    assert found.num_defined == 6


def test_undefined_groups_are_left_out():
    x = [0.1, 0.2, 0.3, 0.5, 0.5, 0.9]
    y = [0.1, 0.2, 0.3, 0.1, 0.2, 0.9]
    found = grouped_correlation(x, y, [0, 0, 0, 1, 1, 2], 4)
    np.testing.assert_array_equal(found.values, [1, np.nan, np.nan, np.nan])
    assert (found.mean, found.num_defined) == (1.0, 1)
    nothing = grouped_correlation([], [], [], 3)
    assert (nothing.mean, nothing.num_defined) == (None, 0)


def test_constant_is_relative_to_size_and_precision():
    small = np.float32([0.01, 0.01001, 0.01002])
    assert grouped_correlation(small, [1.0, 2.0, 3.0], [0] * 3, 1).mean == 1.0
    # Equal up to float32 rounding: constant in float32, but not if float64 numbers say so.
    rounding = np.float32(0.5) + np.float32([0, 6e-8, 1.2e-7])
    assert grouped_correlation(rounding, [1.0, 2.0, 3.0], [0] * 3, 1).mean is None
    assert grouped_correlation(rounding.astype(float), [1.0, 2, 3], [0] * 3, 1).mean == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coefficient": "kendall"}, r"`coefficient` .* but got 'kendall'"),
        ({"min_members": 1}, r"`min_members` .* but got 1"),
        ({"groups": [0]}, r"equal length, but got 2, 2 and 1"),
    ],
)
def test_errors(arguments, message):
    call = {"x": [1.0, 2.0], "y": [1.0, 2.0], "groups": [0, 0], "num_groups": 1} | arguments
    with pytest.raises(ValueError, match=message):
        grouped_correlation(**call)


@pytest.mark.parametrize("sizes", [[5, 1, 0, 7], [2000, 1, 1, 3, 1, 1, 1, 1, 1, 1]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_ranks_of_groups_of_any_size_and_type(sizes, dtype):
    """Padded rows, and sorting at once where a group is much larger than the others."""
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(len(sizes)) * 100_000, sizes))
    values = (rng.random(len(groups)) * 30).astype(dtype)
    if dtype is not np.int64:
        values[:2] = np.inf
    ranks = average_ranks(values, groups)
    for group in np.unique(groups):
        mine = groups == group
        np.testing.assert_array_equal(ranks[mine], stats.rankdata(values[mine]))
    assert average_ranks(values[:0], groups[:0]).shape == (0,)
