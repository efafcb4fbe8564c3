import copy
import pickle

import pytest
import torch
from torch import nn

from corrlight.backbones import FrozenNorm
from corrlight.backbones.norm import conv_norm


def _pair(in_channels, out_channels, kernel, stride, trainable=True):
    torch.manual_seed(0)
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    norm = FrozenNorm(out_channels, trainable)
    for tensor in norm.state_dict().values():
        tensor.uniform_(0.5, 1.5)
    return conv.double(), norm.double()


# Large maps scale the weights, small maps the output; 1x1 on small maps multiplies matrices.
@pytest.mark.parametrize(
    ("in_channels", "out_channels", "kernel", "stride", "size"),
    [
        (3, 8, 7, 2, 20),
        (4, 8, 3, 1, 20),
        (16, 4, 3, 2, 7),
        (8, 16, 1, 1, 12),
        (32, 8, 1, 1, 3),
        (32, 8, 1, 2, 5),
    ],
)
def test_equals_convolution_then_affine_map(in_channels, out_channels, kernel, stride, size):
    conv, norm = _pair(in_channels, out_channels, kernel, stride)
    x = torch.randn(2, in_channels, size, size, dtype=torch.float64, requires_grad=True)
    joined, plain = conv_norm(x, conv, norm), norm(conv(x))
    direction = torch.randn_like(plain)
    sources = [x, conv.weight, norm.weight, norm.bias]
    gradients = torch.autograd.grad(joined, sources, direction)
    expected = torch.autograd.grad(plain, sources, direction)
    torch.testing.assert_close([joined, *gradients], [plain, *expected])
    with torch.no_grad():
        torch.testing.assert_close(conv_norm(x, conv, norm), plain)


@pytest.mark.parametrize("size", [3, 20])
def test_a_scale_of_zero_still_learns(size):
    conv, norm = _pair(16, 16, 3, 1)
    nn.init.zeros_(norm.weight)
    conv_norm(torch.randn(1, 16, size, size, dtype=torch.float64), conv, norm).sum().backward()
    assert (norm.weight.grad != 0).all()
    assert (conv.weight.grad == 0).all()


@pytest.mark.parametrize("size", [3, 20])
def test_fixed_parts_receive_no_gradient(size):
    conv, norm = _pair(16, 16, 3, 1, trainable=False)
    x = torch.randn(1, 16, size, size, dtype=torch.float64)
    conv_norm(x, conv, norm).sum().backward()
    assert conv.weight.grad is not None
    assert norm.weight.grad is None
    conv.weight.grad = None
    conv.weight.requires_grad_(False)
    conv_norm(x.requires_grad_(), conv, norm).sum().backward()
    assert x.grad is not None
    assert conv.weight.grad is None


def test_autocast_computes_in_half_precision():
    conv, norm = (m.float() for m in _pair(8, 8, 3, 1))
    x = torch.randn(1, 8, 9, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = conv_norm(x, conv, norm)
    half.float().sum().backward()
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), conv_norm(x, conv, norm), rtol=0.1, atol=0.1)
    assert conv.weight.grad.dtype == torch.float32


def test_kept_weights_are_not_copied_along():
    conv, norm = _pair(4, 4, 3, 1)
    with torch.no_grad():
        conv_norm(torch.randn(1, 4, 5, 5, dtype=torch.float64), conv, norm)
    assert norm._folded is not None
    assert copy.deepcopy(norm)._folded is None
    assert pickle.loads(pickle.dumps(norm))._folded is None
