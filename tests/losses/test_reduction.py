"""How element-wise losses become a number, and in which precision."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from corrlight.losses import (
    binary_cross_entropy,
    distribution_focal_loss,
    l1_loss,
    quality_focal_loss,
    sigmoid_focal_loss,
    varifocal_loss,
)
from corrlight.losses.reduction import reduce_loss
from tests.helpers.hypothesis_settings import UNHURRIED
from tests.losses.random_input import random


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precisions_are_computed_in_single(dtype):
    logits = random(6, 4, dtype=torch.float32).to(dtype)
    labels, qualities = torch.tensor([0, 4, 2, 3, 4, 1]), torch.rand(6)
    for loss in (
        lambda x: sigmoid_focal_loss(x, labels),
        lambda x: quality_focal_loss(x, labels, qualities),
        lambda x: varifocal_loss(x, torch.zeros_like(x)),
        lambda x: distribution_focal_loss(x, qualities * 3),
        lambda x: binary_cross_entropy(x, torch.zeros_like(x)),
        lambda x: l1_loss(x, torch.zeros_like(x)),
    ):
        leaf = logits.clone().requires_grad_()
        value = loss(leaf)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, loss(logits.float()))
        value.backward()
        assert leaf.grad.dtype == dtype


@given(
    st.integers(0, 5),
    st.sampled_from(["none", "mean", "sum"]),
    st.sampled_from([None, "rows", "elements"]),
    st.sampled_from([None, 0.5, 7.0]),
)
@UNHURRIED
def test_reduction(rows, reduction, weighting, normalizer):
    values = torch.arange(rows * 2, dtype=torch.float64).view(rows, 2)
    weights = {None: None, "rows": torch.arange(rows), "elements": values + 1}[weighting]
    if reduction == "sum" and normalizer is not None:
        with pytest.raises(ValueError, match="`normalizer` to be None"):
            reduce_loss(values, reduction, weights, normalizer)
        return
    result = reduce_loss(values, reduction, weights, normalizer)
    factor = {None: 1, "rows": torch.arange(rows)[:, None], "elements": values + 1}[weighting]
    expected = values * factor
    if reduction != "none":
        expected = expected.sum()
    if reduction == "mean":
        expected = expected / (normalizer or max(rows * 2, 1))
    torch.testing.assert_close(result, expected)
