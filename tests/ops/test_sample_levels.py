import math

import pytest
import torch

from corrlight.ops import sample_levels as module
from corrlight.ops.sample_levels import sample_levels
from corrlight.ops.switch import OPERATORS, fast_ops, operators_on
from tests.helpers.ops.compare import assert_near, with_gradients

SIZES = [(3, 4), (2, 2)]
TOKENS = 16


@pytest.fixture(params=["on", "off"], autouse=True)
def switch(request, monkeypatch):
    """Both ways pass all tests."""
    monkeypatch.setattr(module, "_MIN_CELLS", 0)
    monkeypatch.setattr(module, "_MIN_WIDTH", 0)
    with fast_ops(OPERATORS if request.param == "on" else ()):
        yield


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def bilinear(grid, x, y):
    """The value at x, y in cells, 0 beyond; ``grid`` is ``(h, w, D)``."""
    total = torch.zeros(grid.shape[2], dtype=grid.dtype)
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < grid.shape[0] and 0 <= column < grid.shape[1]:
                total += (1 - abs(y - row)) * (1 - abs(x - column)) * grid[row, column]
    return total


def test_sampling_written_out() -> None:
    heads, width, points = 2, 3, 2
    values = random(1, TOKENS, heads, width)
    locations = (
        torch.rand(1, 5, heads, 2, points, 2, generator=torch.Generator().manual_seed(1)) * 1.4
        - 0.2
    )
    weights = random(1, 5, heads, 2, points)
    found = sample_levels(values, SIZES, locations, weights).view(5, heads, width)
    for n in range(5):
        for head in range(heads):
            expected, start = torch.zeros(width), 0
            for level, (h, w) in enumerate(SIZES):
                grid = values[0, start : start + h * w, head].view(h, w, width)
                start += h * w
                for p in range(points):
                    x, y = locations[0, n, head, level, p].tolist()
                    value = bilinear(grid, x * w - 0.5, y * h - 0.5)
                    expected += weights[0, n, head, level, p] * value
            torch.testing.assert_close(found[n, head], expected)


def test_gradients_of_sampling() -> None:
    values = random(1, TOKENS, 2, 2).double().requires_grad_()
    points = torch.rand(1, 3, 2, 2, 1, 2, generator=torch.Generator().manual_seed(2)).double()
    weights = random(1, 3, 2, 2, 1).double().requires_grad_()
    leaves = (values, points.requires_grad_(), weights)
    assert torch.autograd.gradcheck(lambda v, p, w: sample_levels(v, SIZES, p, w), leaves)


def inputs(batch=2, count=6, heads=3, width=4, points=2, dtype=torch.float32):
    """Points in and around the maps, on borders, in the middles of cells and far away."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch, count, heads, len(SIZES), points)
    locations = torch.rand(*shape, 2, generator=generator, dtype=dtype) * 1.6 - 0.3
    if batch and count:
        for n, place in enumerate((0.0, 1.0, 0.125, 1 + 0.125, -0.125, 1e6)):
            locations[0, n, 0, :, 0] = place
    values = torch.randn(batch, TOKENS, heads, width, generator=generator, dtype=dtype)
    weights = torch.randn(shape, generator=generator, dtype=dtype)
    return values, locations, weights


def by_pytorch(values, locations, weights):
    with fast_ops(()):
        return sample_levels(values, SIZES, locations, weights)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("sizes", [(2, 6), (1, 6), (2, 0), (0, 6)])
def test_values_and_gradients_equal_those_of_sampling_level_by_level(wanted, sizes):
    tensors = inputs(*sizes)
    for i in wanted:
        tensors[i].requires_grad_()
    values, locations, weights = tensors
    found = sample_levels(values, SIZES, locations, weights)
    assert found.shape == (*sizes, 12)
    expected = by_pytorch(*tensors)
    assert_near(with_gradients(found, tensors), with_gradients(expected, tensors), 2e-6)


def test_slopes_at_the_middles_of_cells_are_those_of_pytorch():
    """Where a training begins every point is there: rounding decides between two slopes."""
    sizes = [(17, 20), (8, 10), (5, 5), (1, 3)]
    generator = torch.Generator().manual_seed(0)
    cells = torch.tensor([(width, height) for height, width in sizes])[:, None]
    middles = torch.randint(-3, 24, (2, 40, 3, 4, 4, 2), generator=generator) + 0.5
    locations = (middles / cells).requires_grad_()
    tokens = sum(height * width for height, width in sizes)
    values = torch.randn(2, tokens, 3, 5, generator=generator)
    weights = torch.randn(2, 40, 3, 4, 4, generator=generator)
    found = with_gradients(sample_levels(values, sizes, locations, weights), [locations])
    with fast_ops(()):
        expected = with_gradients(sample_levels(values, sizes, locations, weights), [locations])
    assert_near(found, expected, 1e-5)


def test_gradients_in_double_precision(monkeypatch):
    monkeypatch.setattr(module, "_pays", lambda values, weights: True)
    tensors = [t.requires_grad_() for t in inputs(dtype=torch.float64, count=6)]
    # Where a point lies on the middle of a cell, the slope jumps.
    with torch.no_grad():
        tensors[1].add_(0.01)
    assert torch.autograd.gradcheck(lambda v, p, w: sample_levels(v, SIZES, p, w), tensors)


def test_points_that_are_no_numbers_spoil_their_own_query_alone():
    values, locations, weights = inputs()
    expected = sample_levels(values, SIZES, locations, weights)
    locations[1, 2, 1, 0, 0] = torch.tensor([math.nan, math.inf])
    found = sample_levels(values, SIZES, locations, weights)
    spoilt = torch.zeros(2, 6, 3, 4, dtype=torch.bool)
    spoilt[1, 2, 1] = True
    assert torch.equal(found.view(spoilt.shape)[~spoilt], expected.view(spoilt.shape)[~spoilt])


def test_the_result_has_the_type_of_the_places():
    values, locations, weights = inputs()
    found = sample_levels(values.bfloat16(), SIZES, locations, weights.bfloat16())
    assert found.dtype == torch.float32
    expected = sample_levels(
        values.bfloat16().float(), SIZES, locations, weights.bfloat16().float()
    )
    assert torch.equal(found, expected)


def test_twice_the_same_is_the_same():
    tensors = [t.requires_grad_() for t in inputs(count=6)]
    first, second = (
        with_gradients(sample_levels(tensors[0], SIZES, *tensors[1:]), tensors) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_where_it_runs(monkeypatch):
    """Not compiled, in other types, or for few cells and narrow heads."""
    called = []
    original = module._SampleLevels.apply
    monkeypatch.setattr(module._SampleLevels, "apply", lambda *a: called.append(1) or original(*a))

    def runs(*tensors):
        called.clear()
        sample_levels(tensors[0], SIZES, *tensors[1:])
        return bool(called)

    assert runs(*inputs()) == ("sample_levels" in operators_on())
    assert not runs(*(t.double() for t in inputs()))
    with monkeypatch.context() as patch:
        patch.setattr(torch.compiler, "is_compiling", lambda: True)
        assert not runs(*inputs())
    monkeypatch.setattr(module, "_MIN_CELLS", 4 * 2 * 6 * 3 * 2 * 2 + 1)
    assert not runs(*inputs())
    monkeypatch.setattr(module, "_MIN_CELLS", 0)
    monkeypatch.setattr(module, "_MIN_WIDTH", 5)
    assert not runs(*inputs())
