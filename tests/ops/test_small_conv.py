import pytest
import torch
import torch.nn.functional as F
from torch import nn

from corrlight.ops import product, small_conv
from corrlight.ops.small_conv import SmallConv2d, conv2d, conv2d_backward
from corrlight.ops.switch import fast_ops
from tests.helpers.ops.compare import assert_near, with_gradients

# Images, size, kernel, stride and padding; sizes that a stride leaves something of, kernels of two
# sizes, and more than one image.
CONVOLUTIONS = [
    (1, (4, 5), (3, 3), (1, 1), (1, 1)),
    (2, (7, 5), (3, 3), (2, 2), (1, 1)),
    (2, (3, 3), (1, 1), (1, 1), (0, 0)),
    (1, (6, 9), (1, 1), (2, 2), (0, 0)),
    (1, (7, 7), (5, 3), (2, 3), (2, 0)),
    (1, (8, 4), (7, 7), (2, 1), (3, 3)),
    (1, (8, 9), (2, 2), (3, 3), (0, 0)),
]
FORMATS = [torch.contiguous_format, torch.channels_last]


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    """As on a processor with AVX-512, and however little there is to multiply."""
    monkeypatch.setattr(small_conv, "WIDE", True)
    monkeypatch.setattr(small_conv, "_MIN_CHANNELS", 1)
    monkeypatch.setattr(small_conv, "_MIN_WEIGHTS", 1)
    monkeypatch.setattr(product, "_MIN_MULTIPLICATIONS", 1)


@pytest.fixture
def products(monkeypatch):
    """How many matrix products were made."""
    made, original = [], small_conv.product
    monkeypatch.setattr(small_conv, "product", lambda *args: made.append(1) or original(*args))
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
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(("batch", "size", "kernel", "stride", "padding"), CONVOLUTIONS)
def test_equals_the_gradients_of_the_convolution(
    products, dtype, memory_format, batch, size, kernel, stride, padding
):
    x, weight = _inputs(batch, 24, size, kernel, dtype, memory_format)
    grad, expected = _expected(x, weight, stride, padding)
    ours = conv2d_backward(grad, x.detach(), weight.detach(), stride, padding)
    # Of double precision there is the weight's alone, by PyTorch's own product.
    assert len(products) == (2 if dtype == torch.float32 else 1)
    assert_near(ours, expected, 1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(("batch", "size", "kernel", "stride", "padding"), CONVOLUTIONS)
def test_the_layer_equals_torchs(
    products, bias, memory_format, batch, size, kernel, stride, padding
):
    torch.manual_seed(0)
    ours = SmallConv2d(24, 6, kernel, stride, padding, bias=bias).to(memory_format=memory_format)
    theirs = nn.Conv2d(24, 6, kernel, stride, padding, bias=bias).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(batch, 24, *size).to(memory_format=memory_format).requires_grad_()
    double = x.detach().double().requires_grad_()
    expected = with_gradients(theirs(double), [double, *theirs.parameters()])
    assert_near(with_gradients(ours(x), [x, *ours.parameters()]), expected, 1e-5)
    assert len(products) == 3
    with torch.no_grad():
        assert_near([ours(x)], expected[:1], 1e-5)
        assert_near([conv2d(x, ours.weight, ours.bias, stride, padding)], expected[:1], 1e-5)
    assert len(products) == 5


@pytest.mark.parametrize("trained", [(), ("weight",), ("bias",), ("weight", "bias")])
@pytest.mark.parametrize("of_x", [True, False])
def test_parameters_that_are_not_trained(trained, of_x):
    torch.manual_seed(0)
    layer = SmallConv2d(24, 6, 3, 1, 1)
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(name in trained)
    x = torch.randn(1, 24, 4, 5).requires_grad_(of_x)
    sources = [x, *layer.parameters()]
    expected = with_gradients(F.conv2d(x, layer.weight, layer.bias, 1, 1), sources)
    assert len(expected) == 1 + of_x + len(trained)
    assert_near(with_gradients(layer(x), sources), expected, 1e-5)


def test_only_what_is_wanted(products):
    x, weight = _inputs(1, 24, (4, 4), (3, 3), torch.float32)
    grad, (of_x, of_weight) = _expected(x, weight, (1, 1), (1, 1))
    args = (grad, x.detach(), weight.detach(), (1, 1), (1, 1))
    first = conv2d_backward(*args, wants_weight=False)
    assert first[1] is None
    assert_near(first[:1], [of_x], 1e-5)
    second = conv2d_backward(*args, wants_x=False)
    assert second[0] is None
    assert_near(second[1:], [of_weight], 1e-5)
    assert len(products) == 2
    assert conv2d_backward(*args, wants_x=False, wants_weight=False) == (None, None)


def test_large_maps_and_the_switch_leave_it_to_torch(products):
    for size, on in (((13, 13), ["small_conv", "product"]), ((4, 4), [])):
        x, weight = _inputs(1, 24, size, (3, 3), torch.float32)
        grad, expected = _expected(x, weight, (1, 1), (1, 1))
        with fast_ops(on):
            ours = conv2d_backward(grad, x.detach(), weight.detach(), (1, 1), (1, 1))
            output = conv2d(x.detach(), weight.detach(), None, (1, 1), (1, 1))
        assert not products
        torch.testing.assert_close(ours, expected)
        assert torch.equal(output, F.conv2d(x, weight, None, 1, 1))


def test_layers_of_few_weights_leave_it_to_torch(products, monkeypatch):
    monkeypatch.setattr(small_conv, "_MIN_WEIGHTS", 6 * 24 * 9 + 1)
    layer, x = SmallConv2d(24, 6, 3, 1, 1), torch.randn(1, 24, 4, 4)
    assert torch.equal(layer(x), F.conv2d(x, layer.weight, layer.bias, 1, 1))
    assert not products


def test_without_wide_vectors_the_weights_gradient_alone_is_a_product(products, monkeypatch):
    monkeypatch.setattr(small_conv, "WIDE", False)
    x, weight = _inputs(1, 24, (4, 4), (3, 3), torch.float32)
    grad, expected = _expected(x, weight, (1, 1), (1, 1))
    assert_near(conv2d_backward(grad, x.detach(), weight.detach(), (1, 1), (1, 1)), expected, 1e-5)
    assert len(products) == 1
    conv2d(x.detach(), weight.detach(), None, (1, 1), (1, 1))
    assert len(products) == 1


def test_autocast_and_compilers_see_torchs_layer(products):
    layer, x = SmallConv2d(24, 6, 3, padding=1), torch.randn(1, 24, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    exported = torch.export.export(layer, (x,))
    assert any(node.target is torch.ops.aten.conv2d.default for node in exported.graph.nodes)
    assert not products


def test_groups_and_dilation_are_torchs(products):
    x = torch.randn(1, 24, 6, 6)
    for options in (
        {"groups": 2},
        {"dilation": 2},
        {"padding": "same"},
        {"padding_mode": "reflect"},
    ):
        layer = SmallConv2d(24, 6, 3, **{"padding": 1, **options})
        assert torch.equal(layer(x), nn.Conv2d.forward(layer, x))
    assert not products


def test_no_image_gives_gradients_of_zero():
    x, weight = _inputs(0, 24, (4, 4), (3, 3), torch.float64)
    grad = x.new_zeros(0, 6, 4, 4)
    of_x, of_weight = conv2d_backward(grad, x.detach(), weight.detach(), (1, 1), (1, 1))
    assert of_x.shape == x.shape
    assert of_weight.shape == weight.shape
    assert not of_weight.any()
    layer = SmallConv2d(24, 6, 3, 1, 1)
    assert layer(torch.zeros(0, 24, 4, 4)).shape == (0, 6, 4, 4)
