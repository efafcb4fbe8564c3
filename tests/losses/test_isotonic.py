"""Isotonic regression, by arrays and by tensors."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from corrlight.losses.isotonic import isotonic_blocks, isotonic_regression
from tests.helpers.hypothesis_settings import UNHURRIED

vectors = st.lists(
    st.floats(-10, 10, allow_nan=False) | st.sampled_from([0.0, 0.25, 0.5]), min_size=1, max_size=40
).map(lambda values: torch.tensor(values, dtype=torch.float64))


@given(st.lists(vectors, min_size=1, max_size=3))
@UNHURRIED
def test_both_isotonic_algorithms_agree(rows):
    n = min(len(row) for row in rows)
    values = torch.stack([row[:n] for row in rows])
    fitted = isotonic_regression(values)
    assert (fitted.diff() >= -1e-9).all()
    for row, fit in zip(values, fitted, strict=True):
        blocks = np.split(row.numpy(), isotonic_blocks(row.numpy())[1:-1])
        expected = np.concatenate([np.full(len(block), block.mean()) for block in blocks])
        np.testing.assert_allclose(fit, expected, rtol=1e-9, atol=1e-9)


def test_isotonic_regression_of_nothing():
    for shape in ((0, 3), (2, 0), (0, 0)):
        assert isotonic_regression(torch.zeros(shape)).shape == shape


def test_members_of_a_block_share_one_bit_pattern():
    values = torch.randn(4, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for row, fit in zip(values, isotonic_regression(values), strict=True):
        assert len(fit.unique()) == len(isotonic_blocks(row.numpy())) - 1


def test_what_is_sorted_is_its_own_fit_and_what_falls_is_its_mean():
    rising = torch.arange(9.0, dtype=torch.float64)[None]
    assert torch.equal(isotonic_regression(rising), rising)
    torch.testing.assert_close(isotonic_regression(-rising), torch.full_like(rising, -4))
