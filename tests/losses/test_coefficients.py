"""Coefficients against SciPy and NumPy, and what they are invariant to."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from corrlight.losses import concordance, is_correlation_defined, pearson, spearman
from tests.helpers.hypothesis_settings import UNHURRIED

SOFT = functools.partial(spearman, regularization_strength=0.03)
RELATIVE = functools.partial(spearman, relative_strength=0.5)
COEFFICIENTS = {
    "pearson": pearson,
    "concordance": concordance,
    "spearman": spearman,
    "spearman, absolute": SOFT,
    "spearman, relative": RELATIVE,
}
everywhere = pytest.mark.parametrize("coefficient", COEFFICIENTS.values(), ids=COEFFICIENTS)

pairs = st.lists(
    st.tuples(st.floats(0, 1) | st.sampled_from([0.25, 0.5]), st.floats(0, 1)),
    min_size=2,
    max_size=30,
).map(lambda rows: torch.tensor(rows, dtype=torch.float64).unbind(1))


def random_pair(n, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.random(n)), torch.from_numpy(rng.random(n))


def test_pearson_is_scipys():
    x, y = random_pair(40)
    assert pearson(x, y).item() == pytest.approx(stats.pearsonr(x, y).statistic, rel=1e-12)


def test_concordance_is_its_formula_with_sample_variances():
    x, y = random_pair(7)
    cov = np.cov(x.numpy(), y.numpy())  # divides by n - 1
    gap = x.numpy().mean() - y.numpy().mean()
    expected = 2 * cov[0, 1] / (cov[0, 0] + cov[1, 1] + gap**2)
    assert concordance(x, y).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_spearman_of_a_small_strength_is_scipys(ties):
    x, y = random_pair(60)
    if ties:
        x, y = (x * 6).round() / 6, (y * 6).round() / 6
    expected = stats.spearmanr(x, y).statistic
    assert spearman(x, y, regularization_strength=1e-9).item() == pytest.approx(expected, rel=1e-9)
    assert spearman(x, y, relative_strength=1e-6).item() == pytest.approx(expected, rel=1e-9)


def test_relative_strength_is_a_multiple_of_the_mean_spacing():
    n = 50
    x = torch.linspace(0.1, 0.9, n, dtype=torch.float64)[torch.randperm(n)]
    y = torch.linspace(0.1, 0.9, n, dtype=torch.float64)
    expected = spearman(x, y, regularization_strength=0.7 * 0.8 / n)
    torch.testing.assert_close(spearman(x, y, relative_strength=0.7), expected)


@everywhere
@given(pairs)
@UNHURRIED
def test_bounds_symmetry_and_permutation(coefficient, pair):
    x, y = pair
    assume(is_correlation_defined(x, y))
    rho = coefficient(x, y)
    assert -1 - 1e-9 <= rho <= 1 + 1e-9
    torch.testing.assert_close(coefficient(y, x), rho, rtol=1e-9, atol=1e-9)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(len(x)))
    torch.testing.assert_close(coefficient(x[order], y[order]), rho, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("coefficient", [pearson, RELATIVE], ids=["pearson", "relative"])
@given(pairs, st.floats(0.1, 10), st.floats(-1, 1))
@UNHURRIED
def test_affine_invariance(coefficient, pair, scale, shift):
    x, y = pair
    # Values that differ by rounding only change with a shift.
    assume(min(x.std(), y.std()) > 1e-3)
    rho = coefficient(x, y)
    torch.testing.assert_close(coefficient(scale * x + shift, y), rho, rtol=1e-6, atol=1e-6)


def test_concordance_is_not_affine_invariant():
    x, y = random_pair(20)
    assert concordance(x, x) == pytest.approx(1)
    assert concordance(x, x + 0.3) < 0.95
    assert concordance(x, 0.5 * x) < 0.95
    torch.testing.assert_close(concordance(x + 1, y + 1), concordance(x, y))


@everywhere
@pytest.mark.parametrize("n", [2, 3, 12])
def test_gradcheck(coefficient, n):
    x, y = (v.requires_grad_() for v in random_pair(n, seed=n))
    assert torch.autograd.gradcheck(coefficient, (x, y))


def test_relative_spearman_does_not_reward_scale():
    # The result does not depend on scale and shift, so neither direction has a slope.
    x, y = random_pair(30)
    x.requires_grad_()
    RELATIVE(x, y).backward()
    assert x.grad.sum().abs() < 1e-9
    assert (x.grad * x.detach()).sum().abs() < 1e-9
    assert x.grad.abs().max() > 1e-3


@everywhere
@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([], []),
        ([0.3], [0.4]),
        ([0.3, 0.3, 0.3], [0.1, 0.2, 0.3]),
        ([0.1, 0.2, 0.3], [0.7, 0.7, 0.7]),
        ([0.0, 0.0], [0.0, 1.0]),
        ([0.1] * 17, list(np.linspace(0, 1, 17))),
        ([0.1, 0.1 + 1e-9, 0.1], [0.1, 0.2, 0.3]),  # equal in float32
    ],
)
def test_undefined_is_nan(coefficient, x, y):
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    assert not is_correlation_defined(x, y)
    assert coefficient(x, y).isnan()


def test_low_scores_that_vary_are_defined():
    x = torch.tensor([0.01, 0.01 + 1e-5, 0.01 - 1e-5])
    assert is_correlation_defined(x, torch.tensor([0.1, 0.2, 0.3]))
    tiny = torch.tensor([1e-30, 3e-30, 2e-30])
    assert pearson(tiny, torch.tensor([0.1, 0.3, 0.2])).item() == pytest.approx(1)


@everywhere
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(coefficient, dtype):
    x, y = (v.to(dtype) for v in random_pair(25))
    rho = coefficient(x, y)
    assert rho.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert rho.item() == pytest.approx(coefficient(x.double(), y.double()).item(), abs=1e-6)


@everywhere
def test_bad_input(coefficient):
    x, y = random_pair(5)
    with pytest.raises(ValueError, match=r"one length, but got shapes \(5,\) and \(4,\)"):
        coefficient(x, y[:4])
    with pytest.raises(ValueError, match=r"one length, but got shapes \(5, 1\) and \(5, 1\)"):
        coefficient(x[:, None], y[:, None])
    x[2] = float("nan")
    with pytest.raises(ValueError, match="`x` to be finite, but 1 of 5 are NaN or infinite"):
        coefficient(x, y)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_both_strengths_are_an_error(strength):
    x, y = random_pair(5)
    with pytest.raises(ValueError, match=f"but got both: {strength!r} and 2.0"):
        spearman(x, y, regularization_strength=strength, relative_strength=2.0)
    with pytest.raises(ValueError, match="`relative_strength` to be a finite number > 0"):
        spearman(x, y, relative_strength=0.0)


def test_both_strengths_are_refused_after_pickling_too():
    import copy
    import functools
    import pickle

    bound = functools.partial(spearman, relative_strength=0.5)
    for function in (bound, pickle.loads(pickle.dumps(bound)), copy.deepcopy(bound)):
        x, y = torch.tensor([0.1, 0.2, 0.9]), torch.tensor([0.5, 0.6, 0.7])
        assert torch.isfinite(function(x, y))
        with pytest.raises(ValueError, match="Expected one of `regularization_strength`"):
            function(x, y, regularization_strength=1.0)
    assert spearman(x, y) == spearman(x, y, 1.0)
