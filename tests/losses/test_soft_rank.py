"""Soft ranks: projections, gradients, and the two algorithms behind them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import rankdata

from corrlight.losses import is_affine_soft_rank, soft_rank
from corrlight.losses.soft_rank import _ArrayRows, _TensorRows
from tests.helpers.hypothesis_settings import UNHURRIED

STRENGTHS = [1.0, 0.1, 1e-2, 1e-4]

vectors = st.lists(
    st.floats(-10, 10, allow_nan=False) | st.sampled_from([0.0, 0.25, 0.5]), min_size=1, max_size=40
).map(lambda values: torch.tensor(values, dtype=torch.float64))


def random_rows(rows, n, seed=0):
    return torch.rand(rows, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def brute_force_projection(values, strength):
    """Return the projection of values / strength on the permutahedron by its majorisation rules."""
    target, n = np.sort(values / strength), len(values)
    # In ascending order the sum of the k smallest ranks is at least 1 + ... + k.
    constraints = [{"type": "eq", "fun": lambda r: r.sum() - n * (n + 1) / 2}]
    for k in range(1, n):
        constraints.append({"type": "ineq", "fun": lambda r, k=k: r[:k].sum() - k * (k + 1) / 2})
    result = minimize(
        lambda r: 0.5 * ((r - target) ** 2).sum() / len(r),
        np.arange(1.0, n + 1),
        jac=lambda r: (r - target) / len(r),
        constraints=constraints,
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert result.success
    return result.x[np.argsort(np.argsort(values))]


@pytest.mark.parametrize("strength", [0.02, 0.1, 0.3, 1.0])
def test_is_the_projection_on_the_permutahedron(strength):
    values = random_rows(1, 6, seed=3)[0]
    expected = brute_force_projection(values.numpy(), strength)
    np.testing.assert_allclose(soft_rank(values, strength).numpy(), expected, atol=1e-5)


def test_small_strength_gives_exact_ranks():
    values = random_rows(3, 50)
    expected = rankdata(values.numpy(), axis=1)
    np.testing.assert_allclose(soft_rank(values, 1e-9).numpy(), expected, rtol=1e-12)


@given(vectors, st.sampled_from([1e-3, 0.1, 1.0, 30.0]))
@UNHURRIED
def test_properties(values, strength):
    n = len(values)
    ranks = soft_rank(values, strength)
    assert ranks.sum().item() == pytest.approx(n * (n + 1) / 2)
    assert ranks.min() >= 1 - 1e-9
    assert ranks.max() <= n + 1e-9
    order = values.argsort()
    assert (ranks[order].diff() >= -1e-9).all()
    # Permuting the values permutes the ranks; a shift changes nothing; scale and strength cancel.
    permutation = torch.randperm(n, generator=torch.Generator().manual_seed(n))
    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(
        soft_rank(values[permutation], strength), ranks[permutation], **close
    )
    torch.testing.assert_close(soft_rank(values + 4, strength), ranks, rtol=1e-9, atol=1e-6)
    torch.testing.assert_close(soft_rank(values * 8, strength * 8), ranks, **close)
    ties = values[:, None] == values[None]
    assert ((ranks[:, None] - ranks[None]).abs()[ties] <= 1e-9).all()


@given(vectors)
@UNHURRIED
def test_affine_from_twice_the_mean_spacing_on(values):
    strength = 2 * float(values.max() - values.min()) / len(values) + 1e-9
    assert is_affine_soft_rank(values, strength)
    n = len(values)
    expected = (values - values.mean()) / strength + (n + 1) / 2
    # What the rounding of the mean becomes when it is divided by a small strength.
    rounding = 4e-16 * float(values.abs().max()) / strength
    torch.testing.assert_close(
        soft_rank(values, strength), expected, rtol=1e-9, atol=1e-9 + rounding
    )


def test_just_below_that_it_is_no_longer_affine():
    values = torch.tensor([0.0] * 5 + [1.0] * 5, dtype=torch.float64)
    strength = 1.99 / 10
    assert not is_affine_soft_rank(values, strength)
    affine = (values - values.mean()) / strength + 5.5
    assert (soft_rank(values, strength) - affine).abs().max() > 1e-3


@pytest.mark.parametrize("strength", [0.03, 0.3, 3.0])
@pytest.mark.parametrize("shape", [(1,), (7,), (2, 9), (2, 2, 5)])
def test_gradcheck(shape, strength):
    values = random_rows(1, int(np.prod(shape))).view(shape).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: soft_rank(v, strength), (values,))


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 0), (0, 4), (2, 1)])
def test_empty_and_single(shape):
    values = torch.rand(shape, requires_grad=True)
    ranks = soft_rank(values, 0.1)
    assert ranks.shape == shape
    assert (ranks == 1).all()
    ranks.sum().backward()
    assert (values.grad == 0).all()


def test_rows_are_independent():
    values = random_rows(4, 30).requires_grad_()
    weights = random_rows(4, 30, seed=1)
    (weights * soft_rank(values, 0.02)).sum().backward()
    for k in range(4):
        row = values.detach()[k].clone().requires_grad_()
        (weights[k] * soft_rank(row, 0.02)).sum().backward()
        torch.testing.assert_close(values.grad[k], row.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_values_are_counted(bad):
    values = torch.rand(2, 5)
    values[0, 1] = values[1, 4] = bad
    with pytest.raises(ValueError, match="`values` to be finite, but 2 of 10 are NaN or infinite"):
        soft_rank(values)


@pytest.mark.parametrize("strength", [0, -1, float("nan"), float("inf"), "1", True])
def test_strength_must_be_positive(strength):
    with pytest.raises(ValueError, match="`regularization_strength` to be a finite number > 0"):
        soft_rank(torch.rand(3), strength)


def test_other_bad_arguments():
    with pytest.raises(ValueError, match="one of 'native', 'torchsort', but got 'numpy'"):
        soft_rank(torch.rand(3), 1.0, "numpy")
    with pytest.raises(ValueError, match="floating-point"):
        soft_rank(torch.arange(3))
    with pytest.raises(ValueError, match="floating-point"):
        soft_rank(torch.tensor(0.5))
    with pytest.raises(ValueError, match="1e-300 overflows"):
        soft_rank(torch.tensor([0.0, 1e20]), 1e-300)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precisions_are_ranked_in_single(dtype):
    n = 5000  # beyond the integers that float16 holds
    values = torch.linspace(-1, 1, n).to(dtype).requires_grad_()
    ranks = soft_rank(values, 1e-3)
    assert ranks.dtype == torch.float32
    torch.testing.assert_close(ranks, soft_rank(values.detach().float(), 1e-3))
    (ranks * torch.linspace(0, 1, n)).sum().backward()
    assert values.grad.dtype == dtype
    assert values.grad.isfinite().all()


def test_autocast_does_not_reach_it():
    values = torch.rand(100)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = soft_rank(values, 0.01)
    assert torch.equal(inside, soft_rank(values, 0.01))


def test_runs_inside_a_compiled_function():
    @torch.compile(backend="eager")
    def loss(values):
        return (soft_rank(values * 2, 0.05) ** 2).sum()

    values = torch.rand(20, requires_grad=True)
    compiled = loss(values)
    compiled.backward()
    expected = values.detach().clone().requires_grad_()
    (soft_rank(expected * 2, 0.05) ** 2).sum().backward()
    torch.testing.assert_close(values.grad, expected.grad)


@pytest.mark.parametrize("algorithm", [_ArrayRows, _TensorRows])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_ragged_groups_are_ranked_one_by_one(algorithm, strength):
    sizes = torch.tensor([1, 40, 2, 1, 7, 300])
    values, weights = random_rows(2, int(sizes.sum()))
    values[5:20] = 0.5  # ties
    rows, ranks = algorithm.rank(values, strength, False, sizes)
    gradient = rows.deviations(weights, strength)
    for part, rank, weight, slope in zip(
        *(v.split(sizes.tolist()) for v in (values, ranks, weights, gradient)), strict=True
    ):
        alone = part.clone().requires_grad_()
        expected = soft_rank(alone, strength)
        (expected * weight).sum().backward()
        torch.testing.assert_close(rank, expected.detach(), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(slope, alone.grad, rtol=1e-9, atol=1e-9 / strength)


def test_groups_in_any_order():
    values = random_rows(1, 30)[0].requires_grad_()
    groups = torch.randint(5, (30,), generator=torch.Generator().manual_seed(4)) * 3
    ranks = soft_rank(values, 0.02, groups=groups)
    weights = random_rows(1, 30, seed=1)[0]
    (gradient,) = torch.autograd.grad((ranks * weights).sum(), values)
    for k in groups.unique():
        mine = groups == k
        alone = values.detach()[mine].requires_grad_()
        expected = soft_rank(alone, 0.02)
        torch.testing.assert_close(ranks[mine], expected)
        (expected * weights[mine]).sum().backward()
        torch.testing.assert_close(gradient[mine], alone.grad)
    assert torch.autograd.gradcheck(lambda v: soft_rank(v, 0.1, groups=groups), (values,))
    assert soft_rank(torch.zeros(0), groups=torch.zeros(0, dtype=torch.long)).shape == (0,)


@pytest.mark.parametrize("algorithm", [_ArrayRows, _TensorRows])
def test_non_finite_values_in_groups(algorithm):
    sizes = torch.tensor([1, 3, 2])
    for bad in (float("nan"), float("inf"), -float("inf")):
        for place in range(6):
            values = torch.rand(6)
            values[place] = bad
            with pytest.raises(ValueError, match="to be finite, but 1 of 6 are NaN or infinite"):
                algorithm.rank(values, 0.1, False, sizes)


def test_bad_groups():
    values, groups = torch.rand(4), torch.zeros(4, dtype=torch.long)
    with pytest.raises(ValueError, match=r"`groups` to be integers, .* torch.float32 of shape"):
        soft_rank(values, groups=groups.float())
    with pytest.raises(ValueError, match=r"`groups` .* of shape \(4,\) for \(1, 4\)"):
        soft_rank(values[None], groups=groups)
    with pytest.raises(ValueError, match="`backend` to be 'native' with `groups`, but got 'torchs"):
        soft_rank(values, backend="torchsort", groups=groups)


@pytest.mark.parametrize("n", [1, 2, 3, 64, 65, 1000])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_tensor_algorithm_gives_the_same_ranks(n, strength):
    values, gradient = random_rows(3, n), random_rows(3, n, seed=1)
    values[0, n // 2 :] = 0.5  # ties
    expected_rows, expected = _ArrayRows.rank(values, strength, True)
    rows, ranks = _TensorRows.rank(values, strength, True)
    torch.testing.assert_close(ranks, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        rows.deviations(gradient, strength),
        expected_rows.deviations(gradient, strength),
        rtol=1e-9,
        atol=1e-9 / strength,
    )


@pytest.mark.torchsort
@pytest.mark.parametrize("n", [1, 2, 10, 500, 5000])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_equals_torchsort(n, strength):
    results = []
    for backend in ("native", "torchsort"):
        values = random_rows(2, n).requires_grad_()
        ranks = soft_rank(values, strength, backend=backend)
        (ranks * random_rows(2, n, seed=1)).sum().backward()
        results.append((ranks.detach(), values.grad))
    (ranks, grad), (expected, expected_grad) = results
    torch.testing.assert_close(ranks, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(grad, expected_grad, rtol=1e-9, atol=1e-9 / strength)


def test_torchsort_missing_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchsort", None)
    with pytest.raises(ImportError, match=r"pip install 'corrlight\[torchsort\]'"):
        soft_rank(torch.rand(3), backend="torchsort")
