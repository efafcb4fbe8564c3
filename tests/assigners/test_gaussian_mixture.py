import math

import numpy as np
import pytest
import torch

from corrlight.assigners.gaussian_mixture import two_gaussians


def reference(values, tolerance=1e-3, max_iterations=100, floor=1e-6):
    """Expectation maximisation of one row in NumPy; returns component and log likelihood."""
    x = np.asarray(values, dtype=np.float64)
    means, variances = np.array([x.min(), x.max()]), np.ones(2)
    weights, bound = np.full(2, 0.5), -math.inf

    def joint():
        density = np.exp(-0.5 * (x[:, None] - means) ** 2 / variances)
        return weights * density / np.sqrt(2 * math.pi * variances)

    for _ in range(max_iterations):
        both = joint()
        likelihood = np.log(both.sum(1))
        share = both / both.sum(1, keepdims=True)
        total = share.sum(0) + 10 * np.finfo(np.float64).eps
        means = share.T @ x / total
        variances = (share * (x[:, None] - means) ** 2).sum(0) / total + floor
        weights = total / total.sum()
        before, bound = bound, likelihood.mean()
        if abs(bound - before) < tolerance:
            break
    both = joint()
    return both.argmax(1) == 0, np.log(both.sum(1))


@pytest.mark.parametrize("seed", range(4))
def test_rows_equal_their_own_fit(seed):
    """Rows of different length, which stop after different numbers of iterations."""
    generator = np.random.default_rng(seed)
    rows = []
    for count in (2, 3, 9, 27, 45):
        low = generator.normal(1, generator.uniform(0.1, 0.5), count)
        high = generator.normal(generator.uniform(1.5, 4), 0.4, count)
        rows.append(np.where(generator.random(count) < 0.4, low, high))
    longest = max(map(len, rows))
    values = torch.full((len(rows), longest), 7.0, dtype=torch.float64)
    present = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        values[i, : len(row)], present[i, : len(row)] = torch.from_numpy(row), True
    low, likelihood = two_gaussians(values, present)
    for i, row in enumerate(rows):
        expected_low, expected_likelihood = reference(row)
        assert low[i, : len(row)].tolist() == expected_low.tolist()
        np.testing.assert_allclose(likelihood[i, : len(row)], expected_likelihood, rtol=1e-8)


def test_equal_values_belong_to_the_low_component():
    low, likelihood = two_gaussians(
        torch.full((1, 4), 2.0, dtype=torch.float64), torch.ones(1, 4, dtype=torch.bool)
    )
    assert low.all()
    assert likelihood.isfinite().all()
