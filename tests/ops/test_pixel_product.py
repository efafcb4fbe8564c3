import pytest
import torch
import torch.nn.functional as F

from corrlight.ops import pixel_product
from corrlight.ops.switch import fast_ops
from tests.ops.compare import assert_near, with_gradients


@pytest.fixture
def direct(monkeypatch):
    """How often the operator of PyTorch was called by ours."""
    made = []

    class _Counting:
        @staticmethod
        def conv2d(*args):
            made.append(1)
            return F.conv2d(*args)

    monkeypatch.setattr(pixel_product, "F", _Counting)
    return made


def _inputs(batch, channels, size, out_channels, kernel, dtype, memory_format):
    torch.manual_seed(0)
    x = torch.randn(batch, channels, *size, dtype=dtype).to(memory_format=memory_format)
    weight = torch.randn(out_channels, channels, kernel, kernel, dtype=dtype)
    bias = torch.randn(out_channels, dtype=dtype)
    return [t.requires_grad_() for t in (x, weight.to(memory_format=memory_format), bias)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize(
    ("batch", "size", "stride"),
    [(1, (3, 5), (1, 1)), (2, (5, 5), (2, 2)), (2, (4, 7), (2, 3)), (3, (1, 1), (1, 1))],
)
def test_equals_the_convolution(direct, dtype, memory_format, with_bias, batch, size, stride):
    x, weight, bias = _inputs(batch, 32, size, 8, 1, dtype, memory_format)
    bias = bias if with_bias else None
    sources = [x, weight] + [bias] * with_bias
    ours = pixel_product.conv2d(x, weight, bias, stride, (0, 0))
    assert not direct
    plain = F.conv2d(x, weight, bias, stride)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    assert_near(with_gradients(ours, sources), with_gradients(plain, sources), tolerance)


@pytest.mark.parametrize(
    ("channels", "size", "kernel", "padding"),
    [(16, (5, 5), 1, (0, 0)), (32, (3, 3), 3, (1, 1)), (32, (3, 3), 1, (1, 1))],
    ids=["many pixels", "wide kernel", "padded"],
)
def test_everything_else_is_left_to_torch(direct, channels, size, kernel, padding):
    inputs = _inputs(1, channels, size, 8, kernel, torch.float64, torch.contiguous_format)
    ours = pixel_product.conv2d(*inputs, (1, 1), padding)
    assert direct
    assert torch.equal(ours, F.conv2d(*inputs, (1, 1), padding))


def test_switched_off_it_is_torch(direct):
    inputs = _inputs(1, 32, (3, 3), 8, 1, torch.float64, torch.contiguous_format)
    with fast_ops([]):
        pixel_product.conv2d(*inputs, (1, 1), (0, 0))
    assert direct


def test_no_image_gives_no_output():
    x, weight, bias = _inputs(0, 32, (3, 3), 8, 1, torch.float64, torch.contiguous_format)
    ours = pixel_product.conv2d(x, weight, bias, (1, 1), (0, 0))
    assert ours.shape == (0, 8, 3, 3)
    ours.sum().backward()
    assert not weight.grad.any()


def test_autocast_computes_in_half_precision():
    inputs = _inputs(1, 32, (3, 3), 8, 1, torch.float32, torch.contiguous_format)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = pixel_product.conv2d(*inputs, (1, 1), (0, 0))
    assert half.dtype == torch.bfloat16
    assert_near([half], [F.conv2d(*inputs)], 0.03)
