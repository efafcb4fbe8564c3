"""Coefficients and soft ranks against the numbers of the authors' code (golden ``corr.npz``)."""

import functools
import re

import pytest
import torch

from corrlight.losses import (
    concordance,
    correlation_loss,
    is_correlation_defined,
    pearson,
    soft_rank,
    spearman,
)
from tests.losses.golden.golden_data import assert_close, identifier, load

pytestmark = pytest.mark.golden
DTYPES = [torch.float64, torch.float32]


def fovea_concordance(x, y):
    """The published FoveaBox head adds 1e-6 to the Pearson coefficient's denominator."""
    norms = (x - x.mean()).norm() * (y - y.mean()).norm()
    return concordance(x, y) * norms / (norms + 1e-6)


def published_kinds(golden, case):
    """Return the names of the case's losses, such as 'spearman_0.1'."""
    prefix = f"{case['id']}/loss_"
    kinds = [key.removeprefix(prefix) for key in golden.scalars if key.startswith(prefix)]
    assert kinds
    return kinds


def options_of(kind):
    if kind.startswith("spearman_"):
        strength = float(kind.removeprefix("spearman_"))
        return {"coefficient": "spearman", "regularization_strength": strength}
    return {"coefficient": fovea_concordance if kind == "concordance_fovea" else kind}


def evaluate(golden, case, kind, dtype):
    logits = golden.tensor(case, "logits", dtype).requires_grad_()
    scores, ious = logits.sigmoid(), golden.tensor(case, "ious", dtype)
    loss = correlation_loss(scores, ious, **options_of(kind))
    loss.backward()
    return loss.detach(), logits.grad, is_correlation_defined(scores, ious)


@pytest.mark.parametrize("case", load("corr").cases, ids=identifier)
def test_loss_and_gradient(case):
    golden = load("corr")
    for kind in published_kinds(golden, case):
        loss, grad, defined = evaluate(golden, case, kind, torch.float64)
        assert loss.isfinite()
        assert grad.isfinite().all()
        assert loss >= -1e-12
        assert loss <= 2 + 1e-12
        if case["fragile"]:
            continue
        if not defined:
            # Deviation: FoveaBox's epsilon turns constant input into a loss of 1 with NaN
            # gradients; here it is undefined as everywhere else.
            assert loss == 0
            assert (grad == 0).all()
            if kind != "concordance_fovea":
                assert golden.expected(case, f"loss_{kind}") == 0
                assert case[f"replaced_{kind}"]
            continue
        assert_close(loss, golden.expected(case, f"loss_{kind}"), torch.float64, kind)
        assert_close(grad, golden.expected(case, f"grad_{kind}"), torch.float64, f"grad {kind}")


@pytest.mark.parametrize("case", load("corr").cases, ids=identifier)
def test_single_precision(case):
    golden = load("corr")
    for kind in published_kinds(golden, case):
        loss, grad, defined = evaluate(golden, case, kind, torch.float32)
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        assert grad.isfinite().all()
        if defined and not case["fragile"]:
            assert_close(
                loss, golden.expected(case, f"loss32_{kind}"), torch.float32, kind, scale=1e3
            )


@pytest.mark.parametrize("case", load("corr").cases, ids=identifier)
def test_soft_rank(case):
    golden = load("corr")
    names = [k.split("/")[1] for k in golden.arrays if k.startswith(f"{case['id']}/softrank_")]
    assert names
    for name in names:
        side, strength = re.fullmatch(r"softrank_(?:vjp_)?(scores|ious)_([\d.e-]+)", name).groups()
        values = golden.tensor(case, side).requires_grad_()
        ranks = soft_rank(values, float(strength))
        if "_vjp_" in name:
            (golden.tensor(case, "vjp_weights") * ranks).sum().backward()
            # Members of a block differ from its mean by their own value: rounding of that size.
            scale = float(golden.tensor(case, "vjp_weights").abs().max()) / float(strength)
            expected = golden.expected(case, name)
            assert_close(values.grad, expected, torch.float64, name, scale=scale)
        else:
            assert_close(ranks, golden.expected(case, name), torch.float64, name)


@pytest.mark.parametrize("case", load("corr").cases, ids=identifier)
def test_spearman_at_strength_one_is_pearson(case):
    golden = load("corr")
    results = []
    for function in (pearson, functools.partial(spearman, regularization_strength=1.0)):
        scores = golden.tensor(case, "scores").requires_grad_()
        value = function(scores, golden.tensor(case, "ious"))
        if value.requires_grad:
            value.backward()
        results.append((value.detach(), scores.grad))
    (p, p_grad), (s, s_grad) = results
    torch.testing.assert_close(s, p, rtol=0, atol=1e-12, equal_nan=True)
    if p_grad is not None:
        torch.testing.assert_close(
            s_grad, p_grad, rtol=1e-9, atol=1e-12 * float(p_grad.abs().max() + 1)
        )


def test_cases_cover_every_kind_of_input():
    cases = load("corr").cases
    assert any(case["fragile"] for case in cases)
    assert any(case["edge"] and not case["fragile"] for case in cases)
    assert any(not case["edge"] for case in cases)
