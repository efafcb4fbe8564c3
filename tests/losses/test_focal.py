"""Focal loss: gradients, memory layouts, dtypes, and what it rejects."""

import pytest
import torch
from torchvision.ops import sigmoid_focal_loss as dense_focal_loss

from corrlight.losses import focal as focal_module
from corrlight.losses import (
    sigmoid_focal_loss,
)
from tests.losses.random_input import GENERATOR, one_hot, random


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.5, 2.0])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_focal_gradcheck(gamma, reduction):
    logits, labels = random(7, 3).requires_grad_(), torch.tensor([0, 3, 1, 3, 2, 2, 3])
    weights = torch.tensor([1.0, 0.5, 2, 0, 1, 0, 1], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: sigmoid_focal_loss(x, labels, 0.3, gamma, weights, reduction), (logits,)
    )


@pytest.mark.parametrize("chunk", [1, 50, 1 << 18])
def test_focal_does_not_depend_on_the_chunks(monkeypatch, chunk):
    monkeypatch.setattr(focal_module, "_CHUNK", chunk)
    logits = random(37, 5).requires_grad_()
    labels = torch.randint(0, 6, (37,), generator=GENERATOR)
    weights = torch.rand(37, dtype=torch.float64, generator=GENERATOR)
    expected_logits = logits.detach().clone().requires_grad_()
    target = one_hot(labels, 5, torch.float64)
    expected = dense_focal_loss(expected_logits, target) * weights[:, None]
    for reduction in ("none", "sum"):
        value = sigmoid_focal_loss(logits, labels, weights=weights, reduction=reduction)
        reference = expected if reduction == "none" else expected.sum()
        torch.testing.assert_close(value, reference)
    grad_output = random(37, 5)
    value = sigmoid_focal_loss(logits, labels, weights=weights, reduction="none")
    value.backward(grad_output)
    expected.backward(grad_output)
    torch.testing.assert_close(logits.grad, expected_logits.grad)


def test_focal_of_other_memory_layouts():
    logits, labels = random(6, 40), torch.arange(40) % 7
    expected = sigmoid_focal_loss(logits.t().contiguous(), labels)
    transposed = logits.t().requires_grad_()  # as (B, C, H, W) logits give them
    value = sigmoid_focal_loss(transposed, labels)
    torch.testing.assert_close(value, expected)
    value.backward()


def test_focal_keeps_no_graph_without_gradient():
    value = sigmoid_focal_loss(random(4, 3), torch.tensor([0, 3, 3, 2]))
    assert not value.requires_grad
    with torch.no_grad():
        assert not sigmoid_focal_loss(
            random(4, 3).requires_grad_(), torch.tensor([0, 3, 3, 2])
        ).requires_grad


def test_focal_twice_backward_through_one_graph():
    logits, labels = random(4, 3).requires_grad_(), torch.tensor([0, 3, 3, 2])
    value = sigmoid_focal_loss(logits, labels)
    (first,) = torch.autograd.grad(value, logits, retain_graph=True)
    (second,) = torch.autograd.grad(3 * value, logits)
    torch.testing.assert_close(second, 3 * first)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("size", [1e4, 3e4])
def test_focal_of_extreme_logits(dtype, size):
    logits = torch.tensor([[size, -size], [-size, size]], dtype=dtype, requires_grad=True)
    value = sigmoid_focal_loss(logits, torch.tensor([0, 0]), reduction="none")
    assert value.dtype == torch.float32
    expected = torch.tensor([[0, 0], [0.25 * size, 0.75 * size]])
    torch.testing.assert_close(value, expected, rtol=1e-2, atol=0)
    value.sum().backward()
    expected = torch.tensor([[0, 0], [-0.25, 0.75]]).to(dtype)
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0)])
def test_focal_of_nothing(shape):
    logits = torch.zeros(shape, requires_grad=True)
    for reduction in ("mean", "sum"):
        value = sigmoid_focal_loss(logits, torch.full(shape[:1], shape[1]), reduction=reduction)
        assert value == 0
        value.backward()
    assert logits.grad.shape == shape


def test_focal_single_precision_sums_many_terms_exactly():
    logits = torch.full((300_000, 3), -4.6)
    labels = torch.full((300_000,), 3)
    value = sigmoid_focal_loss(logits, labels, reduction="sum")
    expected = sigmoid_focal_loss(logits.double(), labels, reduction="sum")
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.tensor([0, 1])}, r"\(N, C\) and `labels` \(N,\), but got"),
        ({"labels": torch.tensor([0, 1, 5])}, r"`labels` to be in \[0, 4\], but got 0..5"),
        ({"labels": torch.tensor([0, -1, 2])}, r"`labels` to be in \[0, 4\], but got -1..2"),
        ({"alpha": 1.5}, r"`alpha` to be in \[0, 1\], but got 1.5"),
        ({"gamma": -1.0}, "`gamma` to be a finite number >= 0, but got -1.0"),
        ({"weights": torch.ones(3, 4)}, r"`weights` to be \(3,\), but got \(3, 4\)"),
        ({"reduction": "avg"}, "`reduction` to be one of 'none', 'mean', 'sum', but got 'avg'"),
        ({"reduction": "sum", "normalizer": 3}, "`normalizer` to be None with `reduction='sum'`"),
    ],
)
def test_focal_rejects(change, message):
    arguments = {"logits": random(3, 4), "labels": torch.tensor([0, 4, 2]), **change}
    with pytest.raises(ValueError, match=message):
        sigmoid_focal_loss(**arguments)
