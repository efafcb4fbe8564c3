import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import roi_align as torchvision_roi_align

from corrlight.ops.roi_align import FeatureTable, roi_align
from corrlight.ops.switch import fast_ops

STRIDES = (4, 8, 16)


@pytest.fixture(params=["on", "off"], autouse=True, scope="module")
def switch(request):
    """Both operators pass all tests."""
    with fast_ops(["roi_align"] if request.param == "on" else []):
        yield


def pyramid(dtype=torch.float64, height=48, width=64, batch=2):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(batch, 3, height // s, width // s, generator=generator, dtype=dtype)
        for s in STRIDES
    ]


def level_of(boxes, finest_scale):
    scale = (boxes[..., 2:] - boxes[..., :2]).prod(-1).sqrt()
    return (scale / finest_scale + 1e-6).log2().floor().clamp(0, len(STRIDES) - 1)


def by_torchvision(levels, boxes, output_size, sampling_ratio, finest_scale):
    """Level by level, image by image."""
    batch, num_boxes, _ = boxes.shape
    out = levels[0].new_zeros(batch, num_boxes, 3, output_size, output_size)
    which = level_of(boxes, finest_scale)
    for i, (level, stride) in enumerate(zip(levels, STRIDES, strict=True)):
        for b in range(batch):
            mine = which[b] == i
            out[b, mine] = torchvision_roi_align(
                level[b : b + 1],
                [boxes[b, mine]],
                output_size,
                1 / stride,
                sampling_ratio,
                aligned=True,
            )
    return out.flatten(3).transpose(2, 3)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    output_size=st.integers(1, 7),
    sampling_ratio=st.integers(0, 3),  # 0: as many as a cell covers
    spread=st.sampled_from([0.2, 1.0, 3.0]),
)
def test_equals_torchvision_on_all_levels_and_beyond_the_image(
    seed, output_size, sampling_ratio, spread
) -> None:
    generator = torch.Generator().manual_seed(seed)
    levels = pyramid()
    scale = torch.tensor([64.0, 48.0], dtype=torch.float64)
    centre = torch.rand(2, 9, 2, generator=generator, dtype=torch.float64) * 1.4 - 0.2
    half = torch.rand(2, 9, 2, generator=generator, dtype=torch.float64) * spread / 2
    boxes = torch.cat([(centre - half) * scale, (centre + half) * scale], -1)
    table = FeatureTable.from_levels(levels, STRIDES, adaptive=sampling_ratio == 0)
    ours = roi_align(table, boxes, output_size, sampling_ratio, finest_scale=12)
    expected = by_torchvision(levels, boxes, output_size, sampling_ratio, finest_scale=12)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


def test_every_level_is_read() -> None:
    boxes = torch.tensor([[[0.0, 0, 8, 8], [0, 0, 30, 30], [0, 0, 60, 47]]])
    assert level_of(boxes, 12).tolist() == [[0, 1, 2]]
    levels = [torch.full((1, 1, 48 // s, 64 // s), float(s)) for s in STRIDES]
    pooled = roi_align(FeatureTable.from_levels(levels, STRIDES), boxes, finest_scale=12)
    for region, stride in zip(pooled[0], STRIDES, strict=True):
        torch.testing.assert_close(region, torch.full_like(region, float(stride)))


@pytest.mark.parametrize("sampling_ratio", [0, 2, 3])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gradient_equals_torchvision(memory_format, sampling_ratio) -> None:
    levels = [m.contiguous(memory_format=memory_format).requires_grad_() for m in pyramid()]
    boxes = torch.tensor([[[2.0, 3, 30, 20], [-9, -5, 70, 50]], [[0, 0, 8, 8], [40, 30, 63, 47]]])
    boxes = boxes.double()
    table = FeatureTable.from_levels(levels, STRIDES)
    ours = roi_align(table, boxes, 7, sampling_ratio, finest_scale=12)
    upstream = torch.randn(ours.shape, dtype=ours.dtype, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad(ours, levels, upstream)
    theirs = by_torchvision(levels, boxes, 7, sampling_ratio, 12)
    expected = torch.autograd.grad(theirs, levels, upstream)
    for gradient, reference in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-9)


def test_all_levels_get_a_gradient_even_if_no_box_reads_them() -> None:
    levels = [m.requires_grad_() for m in pyramid()]
    boxes = torch.tensor([[[2.0, 3, 8, 9]], [[2, 3, 8, 9]]])
    roi_align(FeatureTable.from_levels(levels, STRIDES), boxes).sum().backward()
    assert levels[0].grad.any()
    assert all(m.grad is not None and not m.grad.any() for m in levels[1:])


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_degenerate_and_huge_boxes_are_finite(sampling_ratio) -> None:
    table = FeatureTable.from_levels(pyramid(torch.float32), STRIDES)
    far = 1e9 if sampling_ratio else 1e3  # torchvision's samples would not fit into memory
    boxes = torch.tensor([[5.0, 5, 5, 5], [9, 9, 3, 3], [-far, -far, far, far], [far, 0, far, 9]])
    pooled = roi_align(table, boxes.expand(2, 4, 4), sampling_ratio=sampling_ratio)
    assert torch.isfinite(pooled).all()
    assert not pooled[:, 3].any()  # far outside the image


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_boxes_that_are_not_finite_show_in_the_result(sampling_ratio) -> None:
    table = FeatureTable.from_levels(pyramid(torch.float32), STRIDES)
    boxes = torch.tensor([[float("nan")] * 4, [0.0, 0, 20, 20]]).expand(2, 2, 4)
    pooled = roi_align(table, boxes, sampling_ratio=sampling_ratio)
    assert pooled[:, 0].isnan().all()
    assert torch.isfinite(pooled[:, 1]).all()


def test_half_precision_features_are_pooled_in_single_precision() -> None:
    table = FeatureTable.from_levels([m.bfloat16() for m in pyramid()], STRIDES)
    pooled = roi_align(table, torch.tensor([[[1.0, 2, 30, 40]]] * 2))
    assert pooled.dtype == torch.float32


def test_strides_have_to_fit_the_levels() -> None:
    with pytest.raises(ValueError, match=r"3 levels each, but got \[4, 8\]"):
        FeatureTable.from_levels(pyramid(), (4, 8))


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("batch", [0, 2])
def test_no_box_gives_no_region(batch, sampling_ratio) -> None:
    levels = [m.requires_grad_() for m in pyramid(batch=batch)]
    table = FeatureTable.from_levels(levels, STRIDES)
    pooled = roi_align(table, torch.zeros(batch, 0, 4), sampling_ratio=sampling_ratio)
    assert pooled.shape == (batch, 0, 49, 3)
    pooled.sum().backward()
    assert not any(m.grad.any() for m in levels)


def test_the_switch_decides_which_operator_runs(monkeypatch) -> None:
    called = []
    original = torchvision.ops.roi_align
    monkeypatch.setattr(
        torchvision.ops, "roi_align", lambda *args: called.append(1) or original(*args)
    )
    boxes = torch.tensor([[[1.0, 2, 30, 40]]] * 2).double()
    results = []
    for names in ([], ["roi_align"]):
        with fast_ops(names):
            results.append(roi_align(FeatureTable.from_levels(pyramid(), STRIDES), boxes))
        assert len(called) == len(STRIDES)
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)
