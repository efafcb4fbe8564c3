"""Sums over pairs against the matrix of all pairs."""

import pytest
import torch

from corrlight.losses.pairwise import PairSums, _bins, positions_of, smoothed_step


@pytest.mark.parametrize("delta", [0.0, 1e-3, 0.5, 4.0])
def test_pair_sums_are_those_of_the_matrix(delta):
    generator = torch.Generator().manual_seed(1)
    a = (torch.randn(23, dtype=torch.float64, generator=generator) * 2).round(decimals=1).sort()[0]
    b = (torch.randn(80, dtype=torch.float64, generator=generator) * 2).round(decimals=1)
    weights = torch.rand(80, dtype=torch.float64, generator=generator)
    matrix = smoothed_step(b[None] - a[:, None], delta)  # (23, 80)
    sums = PairSums(a, b, delta)
    torch.testing.assert_close(sums.over_b(), matrix.sum(1), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(sums.over_b(weights), matrix @ weights, rtol=1e-11, atol=1e-12)
    weights = torch.rand(23, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(sums.over_a(weights), weights @ matrix, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("spread", [0.0, 1e-7, 1.0, 1e4])
def test_bins_are_those_of_a_binary_search(spread):
    generator = torch.Generator().manual_seed(2)
    edges = (torch.randn(20, dtype=torch.float64, generator=generator) * spread).sort()[0] - 4.6
    values = torch.randn(5000, dtype=torch.float64, generator=generator) * (spread + 1e-9) - 4.6
    values[:20], values[20] = edges, edges[-1] + 1e-300  # exactly on the edges
    values[21:23] = torch.tensor([-1e300, 1e300])
    expected = torch.searchsorted(edges, values, right=True)
    assert torch.equal(_bins(edges, values), expected)


def test_small_sums_are_as_exact_as_large_ones():
    # One negative barely reaches the upper positive, many lie above the lower one.
    a = torch.tensor([-3.0, 5.0], dtype=torch.float64)
    b = torch.full((100_001,), 1.0, dtype=torch.float64)
    b[-1] = 4.5 + 1e-7
    expected = smoothed_step(b[-1] - a[1], 0.5).item()
    assert 0 < expected < 1.1e-7
    assert PairSums(a, b, 0.5).over_b()[1].item() == pytest.approx(expected, rel=1e-9)


def test_smoothed_step():
    x = torch.tensor([-9.0, -0.5, -0.25, 0.0, 0.5, 9.0], dtype=torch.float64)
    expected = torch.tensor([0, 0, 0.25, 0.5, 1, 1], dtype=torch.float64)
    torch.testing.assert_close(smoothed_step(x, 0.5), expected)
    assert smoothed_step(x, 0).tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("length", [0, 1, 9])
def test_positions_of(length):
    mask = torch.arange(length) % 3 == 0
    assert positions_of(mask).tolist() == [k for k in range(length) if k % 3 == 0]
