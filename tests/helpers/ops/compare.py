"""Comparisons that the operators' tests share."""

import torch


def directions(outputs):
    """One random tensor like each output, the same for the same shapes."""
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(o.shape, generator=generator).to(o.dtype) for o in outputs]


def with_gradients(outputs, sources):
    """Outputs, and what the sources that want a gradient receive along :func:`directions`."""
    outputs = [*outputs] if isinstance(outputs, list | tuple) else [outputs]
    wanted = [s for s in sources if s.requires_grad]
    gradients = torch.autograd.grad(outputs, wanted, directions(outputs)) if wanted else ()
    return [*outputs, *gradients]


def assert_near(actual, expected, tolerance):
    """Every tensor equals its reference up to a share of the reference's largest value."""
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        assert one.shape == other.shape
        if other.numel():
            assert (one.double() - other.double()).abs().max() <= tolerance * other.abs().max()
