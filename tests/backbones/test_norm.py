import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from corrlight.backbones import FrozenNorm, ResNet
from corrlight.backbones.norm import conv_norm
from corrlight.ops.switch import OPERATORS, fast_ops
from tests.helpers.ops.writes import WRITES


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


@pytest.mark.parametrize("size", [3, 20])
@pytest.mark.parametrize("write", WRITES)
def test_inference_follows_every_way_of_writing(write, size):
    model = nn.ModuleList(m.float() for m in _pair(16, 16, 3, 1))
    x = torch.randn(1, 16, size, size)
    with torch.no_grad():
        before = conv_norm(x, *model)
        changed = WRITES[write](model)
        after = conv_norm(x, *changed)
    conv, norm = changed
    torch.testing.assert_close(after, norm(conv(x)).detach(), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(after, before, rtol=1e-2)


@pytest.mark.parametrize("size", [3, 20])
def test_switched_off_it_is_two_operators_of_torch(size, monkeypatch):
    conv, norm = _pair(16, 16, 3, 1)
    x = torch.randn(1, 16, size, size, dtype=torch.float64)
    joined = conv_norm(x, conv, norm)
    called = []
    for module in (conv, norm):
        module.register_forward_hook(lambda module, *_: called.append(module))
    with fast_ops([]):
        plain = conv_norm(x, conv, norm)
    assert called == [conv, norm]
    torch.testing.assert_close(joined, plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_norm_alone_equals_batch_norm(dtype):
    _, norm = _pair(4, 8, 3, 1)
    batch = nn.BatchNorm2d(8).to(dtype).eval()
    batch.load_state_dict({**norm.state_dict(), "num_batches_tracked": torch.tensor(0)})
    x = torch.randn(2, 8, 5, 4, dtype=dtype)
    torch.testing.assert_close(norm.to(dtype).train()(x), batch(x))
    scale, shift = norm.affine()
    torch.testing.assert_close(norm(x), x * scale[:, None, None] + shift[:, None, None])


def test_groups_equal_convolution_then_affine_map():
    _, norm = _pair(8, 8, 3, 1)
    conv = nn.Conv2d(8, 8, 3, 1, 1, groups=2, bias=False).double()
    x = torch.randn(2, 8, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(conv_norm(x, conv, norm), norm(conv(x)))


class NoStridedPixels(TorchDispatchMode):
    """Refuses convolutions of one pixel that are strided and thin, before anything runs back."""

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        if operator is torch.ops.aten.convolution.default:
            _, weight, _, stride = args[:4]
            thin = weight.shape[1] < 16 and weight.shape[2:] == (1, 1)
            assert not (thin and max(stride) > 1), (weight.shape, stride)
        return operator(*args, **(kwargs or {}))


@pytest.mark.parametrize("norm", ["frozen", "batch"])
@pytest.mark.parametrize("operators", [OPERATORS, ()], ids=["fast", "plain"])
def test_shortcuts_of_thin_networks_keep_clear_of_onednns_strided_gradient(norm, operators):
    torch.manual_seed(0)
    model = ResNet(18, base_width=4, frozen_stages=0, norm=norm)
    images = torch.randn(2, 3, 64, 96)
    with fast_ops(operators), NoStridedPixels():
        maps = model(images)
    sum(m.square().mean() for m in maps).backward()
    shortcuts = [f"layer{stage}.0.downsample.0" for stage in (2, 3, 4)]
    found = [model.get_submodule(name).weight.grad.clone() for name in shortcuts]
    # In float64 no convolution is oneDNN's.
    model.double().zero_grad()
    with fast_ops(()):
        sum(m.square().mean() for m in model(images.double())).backward()
    expected = [model.get_submodule(name).weight.grad.float() for name in shortcuts]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
