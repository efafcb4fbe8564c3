import pytest
import torch
import torch.nn.functional as F
from torch import nn

from corrlight.backbones import DeformableConv, FrozenNorm
from corrlight.backbones.norm import conv_norm


def _made(groups=1, offset_groups=2, stride=1):
    torch.manual_seed(0)
    return DeformableConv(8, 12, 3, stride, 1, groups=groups, offset_groups=offset_groups)


@pytest.mark.parametrize("groups", [1, 4])
def test_starts_as_half_a_plain_convolution(groups):
    conv = _made(groups)
    x = torch.randn(2, 8, 9, 11)
    expected = 0.5 * F.conv2d(x, conv.weight, None, 1, 1, 1, groups)
    torch.testing.assert_close(conv(x), expected, rtol=1e-4, atol=1e-5)


def test_offsets_are_rows_then_columns_of_each_group():
    conv = _made(offset_groups=2).requires_grad_(False)
    offsets = torch.zeros(2, 9, 2)
    offsets[0, :, 0] = 1  # the first half of the channels reads one row below
    offsets[1, :, 1] = -2  # the second half two columns to the left
    conv.conv_offset.bias[: 2 * conv.taps] = offsets.flatten()
    conv.conv_offset.bias[2 * conv.taps :] = 20.0
    x = torch.randn(1, 8, 14, 15)
    moved = torch.cat([x[:, :4].roll(-1, 2), x[:, 4:].roll(2, 3)], 1)
    inner = (slice(None), slice(None), slice(4, 10), slice(4, 10))
    expected = F.conv2d(moved, conv.weight, None, 1, 1)
    torch.testing.assert_close(conv(x)[inner], expected[inner], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 4])
def test_joined_with_a_frozen_norm(groups, stride):
    conv, norm = _made(groups, stride=stride), FrozenNorm(12)
    for tensor in (*norm.state_dict().values(), conv.conv_offset.bias.data):
        tensor.uniform_(0.5, 1.5)
    nn.init.normal_(conv.conv_offset.weight, std=0.1)
    x = torch.randn(2, 8, 9, 10, requires_grad=True)
    joined, plain = conv_norm(x, conv, norm), norm(conv(x))
    direction = torch.randn_like(plain)
    sources = [x, conv.weight, conv.conv_offset.weight, conv.conv_offset.bias, norm.weight]
    gradients = torch.autograd.grad(joined, sources, direction)
    expected = torch.autograd.grad(plain, sources, direction)
    torch.testing.assert_close([joined, *gradients], [plain, *expected], rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(conv_norm(x, conv, norm), plain, rtol=1e-4, atol=1e-5)


def test_autocast_computes_positions_in_full_precision():
    conv, x = _made(), torch.randn(1, 8, 9, 10)
    nn.init.normal_(conv.conv_offset.weight, std=0.1)
    half = x.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = conv(half)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, conv(half.float()).bfloat16())


def test_offset_groups_divide_the_channels():
    with pytest.raises(ValueError, match="`offset_groups` to divide the 8 channels, but got 3"):
        DeformableConv(8, 8, offset_groups=3)
