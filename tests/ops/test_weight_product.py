import pytest
import torch
import torch.nn.functional as F

from corrlight.ops import weight_product
from corrlight.ops.switch import fast_ops
from corrlight.ops.weight_product import conv2d_backward
from tests.ops.compare import assert_near


@pytest.fixture
def products(monkeypatch):
    """How often the product was taken."""
    made = []
    original = weight_product._patches
    monkeypatch.setattr(weight_product, "_patches", lambda *args: made.append(1) or original(*args))
    return made


def _inputs(batch, channels, size, kernel, dtype, memory_format=torch.contiguous_format):
    torch.manual_seed(0)
    x = torch.randn(batch, channels, *size, dtype=dtype).to(memory_format=memory_format)
    weight = torch.randn(6, channels, *kernel, dtype=dtype).to(memory_format=memory_format)
    return x.requires_grad_(), weight.requires_grad_()


def _expected(x, weight, stride, padding):
    output = F.conv2d(x, weight, None, stride, padding)
    grad = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output.dtype)
    return grad, torch.autograd.grad(output, (x, weight), grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("batch", "size", "kernel", "stride", "padding"),
    [
        (1, (4, 5), (3, 3), (1, 1), (1, 1)),
        (2, (7, 5), (3, 3), (2, 2), (1, 1)),
        (2, (3, 3), (1, 1), (1, 1), (0, 0)),
        (1, (6, 9), (1, 1), (2, 2), (0, 0)),
        (1, (7, 7), (5, 3), (2, 3), (2, 0)),
        (1, (8, 4), (7, 7), (2, 1), (3, 3)),
    ],
)
def test_equals_the_gradients_of_the_convolution(
    products, dtype, memory_format, batch, size, kernel, stride, padding
):
    x, weight = _inputs(batch, 24, size, kernel, dtype, memory_format)
    grad, expected = _expected(x, weight, stride, padding)
    ours = conv2d_backward(grad, x.detach(), weight.detach(), stride, padding)
    assert products
    assert_near(ours, expected, 1e-5 if dtype == torch.float32 else 1e-12)


def test_only_what_is_wanted(products):
    x, weight = _inputs(1, 24, (4, 4), (3, 3), torch.float64)
    grad, (of_x, of_weight) = _expected(x, weight, (1, 1), (1, 1))
    args = (grad, x.detach(), weight.detach(), (1, 1), (1, 1))
    first = conv2d_backward(*args, wants_weight=False)
    assert not products
    assert first[1] is None
    torch.testing.assert_close(first[0], of_x)
    second = conv2d_backward(*args, wants_x=False)
    assert second[0] is None
    torch.testing.assert_close(second[1], of_weight)
    assert conv2d_backward(*args, wants_x=False, wants_weight=False) == (None, None)


def test_large_maps_and_the_switch_leave_it_to_torch(products):
    for size, on in (((6, 6), ["weight_product"]), ((4, 4), [])):
        x, weight = _inputs(1, 24, size, (3, 3), torch.float64)
        grad, expected = _expected(x, weight, (1, 1), (1, 1))
        with fast_ops(on):
            ours = conv2d_backward(grad, x.detach(), weight.detach(), (1, 1), (1, 1))
        assert not products
        torch.testing.assert_close(ours, expected)


def test_no_image_gives_gradients_of_zero():
    x, weight = _inputs(0, 24, (4, 4), (3, 3), torch.float64)
    grad = x.new_zeros(0, 6, 4, 4)
    of_x, of_weight = conv2d_backward(grad, x.detach(), weight.detach(), (1, 1), (1, 1))
    assert of_x.shape == x.shape
    assert of_weight.shape == weight.shape
    assert not of_weight.any()
