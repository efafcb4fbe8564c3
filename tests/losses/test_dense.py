"""Dense losses: gradients, memory layout, dtypes, and what they reject."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import generalized_box_iou_loss
from torchvision.ops import sigmoid_focal_loss as dense_focal_loss

from corrlight.losses import (
    binary_cross_entropy,
    centerness_target,
    distribution_focal_loss,
    giou_loss,
    iou_loss,
    l1_loss,
    quality_focal_loss,
    sigmoid_focal_loss,
    smooth_l1_loss,
    varifocal_loss,
)
from corrlight.losses import focal as focal_module
from corrlight.losses.reduction import reduce_loss
from tests.losses.hypothesis_settings import UNHURRIED

GENERATOR = torch.Generator().manual_seed(0)


def random(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=GENERATOR)


def random_boxes(n, dtype=torch.float64):
    corner = torch.rand(n, 2, dtype=dtype, generator=GENERATOR) * 50
    return torch.cat([corner, corner + 5 + torch.rand(n, 2, dtype=dtype, generator=GENERATOR)], 1)


def one_hot(labels, num_classes, dtype):
    return F.one_hot(labels, num_classes + 1)[:, :num_classes].to(dtype)


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


def test_giou_is_torchvisions():
    pred, target = random_boxes(50), random_boxes(50)
    expected = generalized_box_iou_loss(pred, target, eps=0)
    torch.testing.assert_close(giou_loss(pred, target, reduction="none"), expected)


@pytest.mark.parametrize(
    "loss", [giou_loss, iou_loss, l1_loss, smooth_l1_loss], ids=lambda loss: loss.__name__
)
def test_box_losses_gradcheck(loss):
    pred, target = random_boxes(6).requires_grad_(), random_boxes(6)
    # Overlapping by more than the step, away from the corners of min and max.
    target = target * 0.5 + pred.detach() * 0.5 + 0.3
    weights = torch.rand(6, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: loss(x, target, weights=weights, normalizer=4.0), (pred,)
    )


@pytest.mark.parametrize(
    "loss", [giou_loss, iou_loss, l1_loss, smooth_l1_loss], ids=lambda loss: loss.__name__
)
def test_box_losses_of_nothing_and_of_empty_boxes(loss):
    for boxes in (torch.zeros(0, 4), torch.zeros(2, 4), torch.full((2, 4), 7.0)):
        pred = boxes.clone().requires_grad_()
        value = loss(pred, boxes.clone())
        value.backward()
        assert value.isfinite()
        assert pred.grad.isfinite().all()


def test_l1_rejects_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match=r"shape \(3, 4\), but got \(4,\)"):
        l1_loss(torch.zeros(3, 4), torch.zeros(4))
    with pytest.raises(ValueError, match="`beta` to be a finite number > 0, but got 0"):
        smooth_l1_loss(torch.zeros(3, 4), torch.zeros(3, 4), beta=0)


def test_centerness_rejects_what_lies_outside():
    priors = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 2, 2]])
    boxes = torch.tensor([[0.0, 0, 4, 4], [3, 3, 4, 4], [1, 1, 1, 1]])
    with pytest.raises(ValueError, match="but 2 of 3 lie outside"):
        centerness_target(priors, boxes)
    on_the_edge = centerness_target(priors[:1], torch.tensor([[1.0, 0, 5, 4]]))
    assert on_the_edge == 0
    assert centerness_target(priors[:0], boxes[:0]).shape == (0,)


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


def test_quality_focal_gradcheck():
    logits, labels = random(7, 3).requires_grad_(), torch.tensor([0, 3, 1, 3, 2, 2, 3])
    qualities = torch.rand(7, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: quality_focal_loss(x, labels, qualities), (logits,))


def test_quality_focal_ignores_the_quality_of_background():
    logits, labels = random(4, 3), torch.tensor([3, 1, 3, 3])
    first = quality_focal_loss(logits, labels, torch.tensor([0.0, 0.4, 0.0, 0.0]))
    assert quality_focal_loss(logits, labels, torch.tensor([0.9, 0.4, 0.9, 0.1])) == first


@pytest.mark.parametrize("iou_weighted", [True, False])
def test_varifocal_gradcheck(iou_weighted):
    logits = random(5, 3).requires_grad_()
    targets = torch.rand(5, 3, dtype=torch.float64) * (random(5, 3) > 0)
    assert torch.autograd.gradcheck(
        lambda x: varifocal_loss(x, targets, iou_weighted=iou_weighted), (logits,)
    )


def test_distribution_focal_is_least_at_the_label():
    labels = torch.tensor([0.0, 2.25, 7.0], dtype=torch.float64)
    target = torch.zeros(3, 8, dtype=torch.float64)
    target[0, 0] = target[2, 7] = 1
    target[1, 2], target[1, 3] = 0.75, 0.25
    logits = target.clamp(min=1e-12).log().requires_grad_()
    value = distribution_focal_loss(logits, labels, reduction="none")
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    torch.testing.assert_close(value, torch.tensor([0, entropy, 0], dtype=torch.float64))
    value.sum().backward()
    torch.testing.assert_close(logits.grad, torch.zeros_like(logits), rtol=0, atol=1e-9)


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
