"""Dense losses against the numbers of the authors' code (golden ``dense_losses.npz``)."""

import functools

import pytest
import torch

from corrlight.boxes import DeltaCoder, clip_boxes, paired_iou
from corrlight.losses import (
    binary_cross_entropy,
    centerness_target,
    distribution_focal_loss,
    giou_loss,
    l1_loss,
    paired_giou,
    quality_focal_loss,
    sigmoid_focal_loss,
    smooth_l1_loss,
    varifocal_loss,
)
from corrlight.losses.reduction import reduce_loss
from tests.losses.golden.golden_data import assert_close, identifier, load

pytestmark = pytest.mark.golden
DTYPES = [torch.float64, torch.float32]


def loss_of(golden, case, dtype):
    """Return the differentiable input and a loss of it that takes the reduction arguments."""
    read = functools.partial(golden.tensor, case, dtype=dtype)
    kind = case["loss"]
    if kind == "centerness":
        x = read("logits").requires_grad_()
        return x, functools.partial(binary_cross_entropy, x, read("bce_target"))
    x = read("pred").requires_grad_()
    if kind == "FocalLoss":
        args = (read("label"), case["alpha"], case["gamma"])
        return x, functools.partial(sigmoid_focal_loss, x, *args)
    if kind == "QualityFocalLoss":
        args = (read("label"), read("score"), case["beta"])
        return x, functools.partial(quality_focal_loss, x, *args)
    if kind == "VarifocalLoss":
        args = (read("target"), case["alpha"], case["gamma"], case["iou_weighted"])
        return x, functools.partial(varifocal_loss, x, *args)
    if kind == "DistributionFocalLoss":
        return x, functools.partial(distribution_focal_loss, x, read("label"))
    if kind == "GIoULoss":
        return x, functools.partial(giou_loss, x, read("target"), eps=case["eps"])
    if kind.startswith("smoothl1_b"):
        beta = float(kind.removeprefix("smoothl1_b"))
        return x, functools.partial(smooth_l1_loss, x, read("target"), beta)
    if kind.startswith("l1"):
        return x, functools.partial(l1_loss, x, read("target"))
    raise NotImplementedError(f"no loss for golden case {case['id']} ({kind})")


def check_variants(golden, case, dtype):
    # The reference's binary cross-entropy is float32 whatever it gets.
    rtol = max(1e-6, 1e-4 * (dtype == torch.float32)) if case["loss"] == "centerness" else None
    # Pixel coordinates rounded to float32 alone move the GIoU of small boxes by 6e-6.
    scale = 100.0 if (case["loss"], dtype) == ("GIoULoss", torch.float32) else 1.0
    for variant, options in case["variants"].items():
        x, loss = loss_of(golden, case, dtype)
        weights = None
        if golden.has(case, f"weight_{variant}"):
            weights = golden.tensor(case, f"weight_{variant}", dtype)
        value = loss(
            weights=weights,
            reduction=options.get("reduction_override", "mean"),
            normalizer=options.get("avg_factor"),
        )
        expected = golden.expected(case, f"loss_{variant}")
        assert value.shape == expected.shape
        assert value.dtype == dtype
        assert_close(value, expected, dtype, f"loss_{variant}", rtol, scale)
        value.sum().backward()
        if golden.has(case, f"grad_{variant}"):
            grad = golden.expected(case, f"grad_{variant}")
            assert_close(x.grad, grad, dtype, f"grad_{variant}", rtol, scale)
        assert x.grad.isfinite().all()


def check_giou(golden, case, dtype):
    x, loss = loss_of(golden, case, dtype)
    zero = loss(weights=x.new_zeros(len(x)))
    assert_close(zero, golden.expected(case, "loss_zero_weight"), dtype, "zero weight")
    zero.backward()
    assert_close(x.grad, golden.expected(case, "grad_zero_weight"), dtype, "zero weight")
    assert_close(2 * loss(), golden.expected(case, "loss_lw2_mean"), dtype, "twice the mean")
    # The reference averages weights of shape (N, 4) itself.
    weights = golden.tensor(case, "weight_n4", dtype).mean(1)
    assert_close(loss(weights=weights), golden.expected(case, "loss_w_n4"), dtype, "w_n4")
    target = golden.tensor(case, "target", dtype)
    iou = paired_iou(x, target, eps=case["eps"])
    assert_close(iou, golden.expected(case, "iou"), dtype, "iou")
    assert_close(iou.clamp(min=1e-6), golden.expected(case, "iou_clamped"), dtype, "iou_clamped")
    giou = paired_giou(x, target, eps=1e-7)  # the bare function's bound
    scale = 100.0 if dtype == torch.float32 else 1.0
    assert_close(giou, golden.expected(case, "giou"), dtype, "giou", scale=scale)


def check_centerness(golden, case, dtype):
    priors, boxes = golden.tensor(case, "anchors", dtype), golden.tensor(case, "gts", dtype)
    if "raises" in case:
        with pytest.raises(ValueError, match="centre of every prior"):
            centerness_target(priors, boxes)
    else:
        target = centerness_target(priors, boxes)
        assert_close(target, golden.expected(case, "centerness"), dtype, "centerness")
        check_variants(golden, case, dtype)


def check_pairwise(golden, case, dtype):
    boxes1, boxes2 = golden.tensor(case, "boxes1", dtype), golden.tensor(case, "boxes2", dtype)
    first = boxes1.repeat_interleave(len(boxes2), 0)
    second = boxes2.repeat(len(boxes1), 1)
    for name, function in (("iou", paired_iou), ("giou", paired_giou)):
        values = function(first, second).view(len(boxes1), len(boxes2))
        assert_close(values, golden.expected(case, name), dtype, name)


def check_coder(golden, case, dtype):
    assert set(case["means"]) == {0}
    coder = DeltaCoder(stds=tuple(case["stds"]))
    anchors, gts = golden.tensor(case, "anchors", dtype), golden.tensor(case, "gts", dtype)
    encoded = golden.expected(case, "encoded32")  # float32 in the reference
    rounding = 300 / min(case["stds"])  # of pixel coordinates
    assert_close(coder.encode(anchors, gts), encoded, dtype, "encoded", 1e-4, rounding)
    decoded = coder.decode(anchors, golden.tensor(case, "deltas", dtype))
    assert_close(decoded, golden.expected(case, "decoded"), dtype, "decoded")
    clipped = golden.expected(case, "decoded_clipped")
    assert_close(clip_boxes(decoded, (480, 640)), clipped, dtype, "clipped")


def check_empty(golden, case, dtype):
    pred = golden.tensor(case, "pred", dtype).requires_grad_()
    for function in (l1_loss, smooth_l1_loss):
        value = function(pred, golden.tensor(case, "target", dtype))
        value.backward()
        assert value.item() == golden.expected(case, "loss")


def check_sum_with_normalizer(golden, case, dtype):
    assert case["raises"] == "ValueError"
    with pytest.raises(ValueError, match="`normalizer` to be None with `reduction='sum'`"):
        reduce_loss(torch.ones(3, dtype=dtype), "sum", normalizer=2.0)


SPECIAL = {
    "centerness": check_centerness,
    "bbox_overlaps": check_pairwise,
    "DeltaXYWHBBoxCoder": check_coder,
    "l1/smoothl1 empty": check_empty,
    "weight_reduce_loss": check_sum_with_normalizer,
}


@pytest.mark.parametrize("dtype", DTYPES, ids=["float64", "float32"])
@pytest.mark.parametrize("case", load("dense_losses").cases, ids=identifier)
def test_case(case, dtype):
    golden = load("dense_losses")
    if case["loss"] in SPECIAL:
        SPECIAL[case["loss"]](golden, case, dtype)
        return
    check_variants(golden, case, dtype)
    if case["loss"] == "GIoULoss":
        check_giou(golden, case, dtype)
