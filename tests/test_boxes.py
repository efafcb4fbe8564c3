import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from corrlight.boxes import (
    DeltaCoder,
    DistanceCoder,
    SideCoder,
    clip_boxes,
    cxcywh_to_xyxy,
    paired_iou,
    scale_boxes,
    xyxy_to_cxcywh,
)


def random_boxes(n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(n, 2, generator=generator, dtype=torch.float64) * 100
    sizes = torch.rand(n, 2, generator=generator, dtype=torch.float64) * 60 + 1
    return torch.cat([corners, corners + sizes], 1)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_paired_iou_is_the_diagonal_of_the_pairwise_one(seed):
    a, b = random_boxes(20, seed), random_boxes(20, seed + 1)
    torch.testing.assert_close(paired_iou(a, b), box_iou(a, b).diagonal())


def test_paired_iou_of_empty_boxes_is_zero_with_finite_gradient():
    a = torch.tensor([[5.0, 5, 5, 5]], requires_grad=True)
    iou = paired_iou(a, torch.tensor([[5.0, 5, 5, 5]]))
    iou.sum().backward()
    assert iou.item() == 0
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()


def test_formats_are_inverse():
    boxes = random_boxes(50)
    torch.testing.assert_close(cxcywh_to_xyxy(xyxy_to_cxcywh(boxes)), boxes)
    assert xyxy_to_cxcywh(torch.tensor([[0.0, 0, 4, 2]])).tolist() == [[2, 1, 4, 2]]


def test_decode_inverts_encode():
    coder = DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2))
    priors, boxes = random_boxes(50, 1), random_boxes(50, 2)
    torch.testing.assert_close(coder.decode(priors, coder.encode(priors, boxes)), boxes)


def test_decode_bounds_the_size_ratio():
    prior = torch.tensor([[0.0, 0, 16, 16]])
    decoded = DeltaCoder().decode(prior, torch.tensor([[0.0, 0, 50, -50]]))
    width, height = xyxy_to_cxcywh(decoded)[0, 2:].tolist()
    assert width == pytest.approx(1000, rel=1e-5)
    assert height == pytest.approx(16 * 16 / 1000, rel=1e-5)
    assert math.isclose(DeltaCoder().max_log_ratio, 4.135, abs_tol=1e-3)


def test_decode_computes_half_precision_in_fp32():
    decoded = DeltaCoder().decode(torch.zeros(1, 4), torch.zeros(1, 4, dtype=torch.bfloat16))
    assert decoded.dtype == torch.float32


def test_clip_and_scale():
    boxes = torch.tensor([[-3.0, 2, 50, 70]])
    assert clip_boxes(boxes, (60, 40)).tolist() == [[0, 2, 40, 60]]
    assert scale_boxes(boxes, (60, 40), (120, 20)).tolist() == [[-1.5, 4, 25, 140]]


def test_distances_are_in_half_prior_sizes():
    prior = torch.tensor([[84.0, 84, 116, 116]])  # around (100, 100), base edge 16
    box = torch.tensor([[92.0, 68, 116, 132]])
    encoded = DistanceCoder().encode(prior, box)
    expected = torch.tensor([[0.5, 2, 1, 2]]).log()
    torch.testing.assert_close(encoded, expected)
    torch.testing.assert_close(DistanceCoder().decode(prior, encoded), box)


def test_distances_are_bounded():
    prior, coder = torch.tensor([[84.0, 84, 116, 116]]), DistanceCoder()
    far = coder.encode(prior, torch.tensor([[-1e4, 100, 1e4, 100.5]]))
    torch.testing.assert_close(far.exp(), torch.tensor([[16, 1 / 16, 16, 1 / 16]]))
    outside = coder.encode(prior, torch.tensor([[120.0, 120, 140, 140]]))
    torch.testing.assert_close(outside[0, :2].exp(), torch.tensor([1 / 16, 1 / 16]))
    decoded = coder.decode(prior, torch.tensor([[1e4, 0, 1e4, 0]], dtype=torch.bfloat16))
    assert decoded.dtype == torch.float32
    assert decoded.isfinite().all()


def test_sides_are_in_units_of_the_prior():
    prior = torch.tensor([[84.0, 84, 116, 116]])  # around (100, 100), edge 32
    box = torch.tensor([[92.0, 68, 116, 104]])
    coder = SideCoder(units=4)
    encoded = coder.encode(prior, box)
    torch.testing.assert_close(encoded, torch.tensor([[1.0, 4, 2, 0.5]]))
    torch.testing.assert_close(coder.decode(prior, encoded), box)
    assert (SideCoder().encode(prior, torch.tensor([[120.0, 90, 130, 110]]))[:, 0] < 0).all()
    assert coder.decode(prior, encoded.bfloat16()).dtype == torch.float32
