import pytest
import torch
import torchvision

from corrlight.ops.deform_conv import deform_conv2d
from corrlight.ops.switch import fast_ops
from tests.helpers.ops.compare import assert_near, with_gradients

# Groups of the convolution, of the offsets, kernel, stride, padding.
SHAPES = [
    (1, 1, (3, 3), (1, 1), (1, 1)),
    (2, 4, (3, 3), (2, 1), (1, 0)),
    (4, 2, (1, 1), (1, 1), (0, 0)),
    (1, 2, (2, 3), (1, 2), (0, 2)),
    (8, 8, (3, 1), (3, 2), (2, 1)),
]


def inputs(groups, offset_groups, kernel, stride, padding, dtype=torch.float64, last=False):
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    size = (7, 10)
    out = [
        (n + 2 * p - k) // s + 1 for n, p, k, s in zip(size, padding, kernel, stride, strict=True)
    ]
    taps = offset_groups * kernel[0] * kernel[1]
    offset = random(2, 2 * taps, *out) * 2
    weight, bias = random(16, 8 // groups, *kernel), random(16)
    mask = random(2, taps, *out).sigmoid()
    tensors = [random(2, 8, *size), offset, weight, bias, mask]
    if last:  # As the networks' maps and weights are.
        tensors = [t.to(memory_format=torch.channels_last) if t.dim() == 4 else t for t in tensors]
    return [t.requires_grad_() for t in tensors]


@pytest.fixture
def direct(monkeypatch):
    """How often the operator of torchvision was called by ours."""
    made, original = [], torchvision.ops.deform_conv2d

    def counting(*args, **options):
        made.append(1)
        return original(*args, **options)

    monkeypatch.setattr(torchvision.ops, "deform_conv2d", counting)
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("with_bias", "with_mask"), [(True, True), (False, False), (True, False)])
def test_equals_the_operator_of_torchvision(direct, dtype, last, shape, with_bias, with_mask):
    x, offset, weight, bias, mask = inputs(*shape, dtype=dtype, last=last)
    sources = [x, offset, weight] + [bias] * with_bias + [mask] * with_mask
    bias, mask = (bias if with_bias else None), (mask if with_mask else None)
    options = {"stride": shape[3], "padding": shape[4], "mask": mask}
    with fast_ops(["deform_conv"]):
        ours = deform_conv2d(x, offset, weight, bias, **options)
    assert not direct
    # Channels last, torchvision's gradient of a weight of one tap is an error.
    plain = torchvision.ops.deform_conv2d(
        x, offset, weight.reshape(-1).view(weight.shape), bias, **options
    )
    tolerance = 2e-5 if dtype == torch.float32 else 1e-11
    assert_near(with_gradients(ours, sources), with_gradients(plain, sources), tolerance)


@pytest.mark.parametrize("far", [50.0, 1e30, float("inf"), -float("inf")])
def test_taps_far_away_read_nothing(far):
    """A box that has grown without bound puts taps there."""
    x, offset, weight, bias, _ = inputs(*SHAPES[0])
    offset = offset.detach()
    offset[:, :4] = far
    offset.requires_grad_()
    with fast_ops(["deform_conv"]):
        ours = with_gradients(
            deform_conv2d(x, offset, weight, bias, padding=(1, 1)), [x, offset, weight]
        )
    plain = torchvision.ops.deform_conv2d(x, offset, weight, bias, padding=1)
    assert all(t.isfinite().all() for t in ours)
    # Of an infinite offset the gradient is 0 here and NaN there.
    expected = [t.nan_to_num() for t in with_gradients(plain, [x, offset, weight])]
    assert_near(ours, expected, 1e-11)


def test_whole_pixels_and_no_offset_are_a_convolution():
    x, offset, weight, bias, _ = inputs(*SHAPES[0])
    with fast_ops(["deform_conv"]):
        still = deform_conv2d(x, torch.zeros_like(offset), weight, bias, padding=(1, 1))
        moved = deform_conv2d(x, torch.ones_like(offset), weight, bias, padding=(1, 1))
    plain = torch.nn.functional.conv2d(x, weight, bias, padding=1)
    torch.testing.assert_close(still, plain)
    torch.testing.assert_close(moved[:, :, :-1, :-1], plain[:, :, 1:, 1:])


def test_what_is_off_or_empty_is_torchvisions(direct):
    x, offset, weight, bias, mask = inputs(*SHAPES[0])
    with fast_ops([]):
        off = deform_conv2d(x, offset, weight, bias, padding=(1, 1), mask=mask)
    with fast_ops(["deform_conv"]):
        none = deform_conv2d(x[:0], offset[:0], weight, bias, padding=(1, 1))
    assert len(direct) == 2
    assert off.shape == (2, 16, 7, 10)
    assert none.shape == (0, 16, 7, 10)
