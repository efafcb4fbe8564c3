import itertools

import pytest
import torch
import torch.nn.functional as F

from corrlight.ops.conv_norm import conv_norm
from corrlight.ops.switch import OPERATORS, fast_ops
from tests.helpers.ops.compare import assert_near, with_gradients

EPS = 1e-5
# Large maps scale the weights, small maps the output; 1x1 on small maps multiplies matrices.
GEOMETRIES = {
    "stem": (3, 8, 7, 2, 20),
    "large": (4, 8, 3, 1, 20),
    "small": (16, 4, 3, 2, 7),
    "large 1x1": (8, 16, 1, 1, 12),
    "small 1x1": (32, 8, 1, 1, 3),
    "small 1x1 stride 2": (32, 8, 1, 2, 5),
    "as many pixels as channels": (24, 8, 1, 1, 3),
}


def _inputs(geometry, dtype=torch.float64, memory_format=torch.contiguous_format, batch=2):
    in_channels, out_channels, kernel, stride, size = GEOMETRIES[geometry]
    torch.manual_seed(0)
    x = torch.randn(batch, in_channels, size, size + 1, dtype=dtype)
    weight = torch.randn(out_channels, in_channels, kernel, kernel, dtype=dtype)
    gamma, beta, mean, var = (torch.rand(out_channels, dtype=dtype) + 0.5 for _ in range(4))
    sources = [t.to(memory_format=memory_format) for t in (x, weight)] + [gamma, beta]
    return [s.requires_grad_() for s in sources], mean, var, (stride, stride), (kernel // 2,) * 2


def _ours(sources, mean, var, stride, padding):
    return conv_norm(*sources, mean, (var + EPS).rsqrt(), stride, padding)


def _torch(sources, mean, var, stride, padding):
    x, weight, gamma, beta = sources
    convolved = F.conv2d(x, weight, None, stride, padding)
    return F.batch_norm(convolved, mean, var, gamma, beta, training=False, eps=EPS)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("on", [OPERATORS, ()], ids=["products", "no products"])
def test_equals_convolution_then_batch_norm(geometry, dtype, memory_format, on):
    sources, *rest = _inputs(geometry, dtype, memory_format)
    tolerance = 2e-5 if dtype == torch.float32 else 1e-12
    with fast_ops(on):
        ours = with_gradients(_ours(sources, *rest), sources)
        assert_near(ours, with_gradients(_torch(sources, *rest), sources), tolerance)
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                assert_near([_ours(sources, *rest)], ours[:1], tolerance)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_result_may_be_changed_in_place(geometry):
    """As the ReLU of a block does; pictures of 32 x 64 had one with a pixel for every channel."""
    sources, *rest = _inputs(geometry)
    ours = with_gradients(_ours(sources, *rest).relu_(), sources)
    assert_near(ours, with_gradients(_torch(sources, *rest).relu(), sources), 1e-12)


@pytest.mark.parametrize("geometry", ["large", "small", "small 1x1"])
def test_every_choice_of_what_is_trained(geometry):
    for wanted in itertools.product([False, True], repeat=4):
        sources, *rest = _inputs(geometry)
        for source, one in zip(sources, wanted, strict=True):
            source.requires_grad_(one)
        output = _ours(sources, *rest)
        assert output.requires_grad == any(wanted)
        expected = with_gradients(_torch(sources, *rest), sources)
        assert_near(with_gradients(output, sources), expected, 1e-12)


@pytest.mark.parametrize("geometry", ["large", "small"])
def test_gradients_by_differences(geometry):
    sources, *rest = _inputs(geometry)
    assert torch.autograd.gradcheck(lambda *s: _ours(s, *rest), sources, fast_mode=True)


@pytest.mark.parametrize("geometry", ["large", "small", "small 1x1"])
def test_no_image_gives_gradients_of_zero(geometry):
    sources, *rest = _inputs(geometry, batch=0)
    output = _ours(sources, *rest)
    assert output.shape == _torch(sources, *rest).shape
    output.sum().backward()
    assert not any(s.grad.any() for s in sources[1:])


@pytest.mark.parametrize("geometry", ["large", "small"])
def test_differentiable_once(geometry):
    sources, *rest = _inputs(geometry)
    (gradient,) = torch.autograd.grad(
        _ours(sources, *rest).square().sum(), sources[1], create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("geometry", ["large", "small"])
def test_the_output_is_nobody_elses_memory(geometry):
    # Residual blocks add to it in place.
    sources, *rest = _inputs(geometry)
    expected = with_gradients(_torch(sources, *rest).add(1.0).relu(), sources)
    assert_near(with_gradients(_ours(sources, *rest).add_(1.0).relu_(), sources), expected, 1e-12)
