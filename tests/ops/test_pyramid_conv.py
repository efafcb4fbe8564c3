import pytest
import torch
import torch.nn.functional as F

from corrlight.backbones import PyramidConv
from corrlight.ops import winograd

# Every remainder of the sizes by 4; a map smaller than a tile; one that needs several chunks.
SIZES = [(36, 57), (18, 29), (9, 15), (5, 8), (3, 4), (1, 2)]


def _conv(in_channels=128, out_channels=64, bias=True):
    torch.manual_seed(0)
    conv = PyramidConv(in_channels, out_channels, bias)
    return conv.to(memory_format=torch.channels_last)


def _maps(channels=128, batch=2, sizes=SIZES):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, channels, *s, generator=generator) for s in sizes]


def _direct(conv, maps):
    bias = None if conv.bias is None else conv.bias.double()
    return [F.conv2d(m.double(), conv.weight.double(), bias, padding=1) for m in maps]


def _assert_near(actual, expected, tolerance=3e-5):
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.fixture
def calls(monkeypatch):
    """How often the Winograd path was taken."""
    made = []
    original = winograd.convolve
    monkeypatch.setattr(
        winograd, "convolve", lambda *args, **kwargs: made.append(1) or original(*args, **kwargs)
    )
    return made


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kept", [0, 512], ids=["recomputed", "kept"])
def test_values_and_gradients_equal_those_of_the_direct_convolution(calls, monkeypatch, bias, kept):
    monkeypatch.setattr(winograd, "_KEPT", kept)
    conv, maps = _conv(bias=bias), [m.requires_grad_() for m in _maps()]
    outputs = conv(maps)
    assert len(calls) == 1
    expected = _direct(conv, maps)
    generator = torch.Generator().manual_seed(2)
    directions = [torch.randn(o.shape, generator=generator) for o in outputs]
    sources = [*maps, *conv.parameters()]
    gradients = torch.autograd.grad(outputs, sources, directions)
    expected_gradients = torch.autograd.grad(expected, sources, [d.double() for d in directions])
    for actual, wanted in zip(
        [*outputs, *gradients], [*expected, *expected_gradients], strict=True
    ):
        _assert_near(actual, wanted)


def test_only_the_gradients_that_are_needed(calls):
    conv, maps = _conv(), _maps()
    sum(o.square().sum() for o in conv(maps)).backward()
    assert conv.weight.grad is not None
    conv.requires_grad_(False)
    maps = [m.requires_grad_() for m in maps]
    sum(o.square().sum() for o in conv(maps)).backward()
    assert all(m.grad is not None for m in maps)
    assert len(calls) == 2


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_inference_follows_changes_of_the_weight(calls, mode):
    conv, maps = _conv(), _maps(sizes=[(33, 33)])
    for _ in range(2):
        with mode():
            output = conv(maps)[0]
        _assert_near(output, _direct(conv, maps)[0])
        with torch.no_grad():
            conv.weight.add_(0.01)
    output = conv(maps)[0]  # and training goes on after inference
    output.sum().backward()
    _assert_near(output, _direct(conv, maps)[0])
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("in_channels", "sizes", "dtype"),
    [(64, SIZES, torch.float32), (128, [(8, 8)], torch.float32), (128, SIZES, torch.float64)],
)
def test_narrow_small_and_double_maps_take_the_direct_path(calls, in_channels, sizes, dtype):
    conv = _conv(in_channels).to(dtype)
    maps = [m.to(dtype) for m in _maps(in_channels, sizes=sizes)]
    for actual, expected in zip(conv(maps), _direct(conv, maps), strict=True):
        _assert_near(actual, expected)
    assert not calls


def test_autocast_takes_the_direct_path(calls):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert _conv()(_maps())[0].dtype == torch.bfloat16
    assert not calls
