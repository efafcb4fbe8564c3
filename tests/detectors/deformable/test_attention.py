import math

import pytest
import torch

from corrlight.detectors.deformable import LevelLayout, MultiScaleAttention, sample_levels

SIZES = [(3, 4), (2, 2)]
TOKENS = 16


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


def test_at_the_start_heads_look_around_with_equal_weights() -> None:
    attention = MultiScaleAttention(8, 4, 2, 3)
    offsets = attention.sampling_points.bias.view(4, 2, 3, 2)
    ways = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    for point in range(3):
        for level in range(2):
            torch.testing.assert_close(offsets[:, level, point], (point + 1) * ways)
    assert not attention.weights.weight.any()
    assert not attention.weights.bias.any()


def layout(padding=None):
    counts = torch.tensor(SIZES).expand(2, -1, -1)
    return LevelLayout(sizes=SIZES, counts=counts, padding=padding)


@pytest.mark.parametrize("kind", ["points", "boxes"])
def test_padded_tokens_are_not_seen(kind) -> None:
    torch.manual_seed(0)
    attention = MultiScaleAttention(8, 2, 2, 2)
    references = torch.rand(2, 5, 2, 2 if kind == "points" else 4)
    tokens, queries = random(2, TOKENS, 8), random(2, 5, 8)
    padding = torch.zeros(2, TOKENS, dtype=torch.bool)
    padding[1, 3:9] = True
    seen = attention(queries, tokens, references, layout(padding))
    changed = tokens.masked_fill(padding[..., None], 9.0)
    assert torch.equal(attention(queries, changed, references, layout(padding)), seen)
    assert not torch.allclose(attention(queries, changed, references, layout())[1], seen[1])


def test_points_of_a_box_stay_in_it() -> None:
    """Without learned offsets the last of P steps is at the middle of the box's side."""
    attention = MultiScaleAttention(2, 2, 1, 1)  # heads look right and left
    with torch.no_grad():
        for linear in (attention.values, attention.project):
            linear.weight.copy_(torch.eye(2))
    row = torch.arange(8.0)  # value i at the middle of cell i
    tokens = torch.stack([row, row], 1)[None]
    one = LevelLayout(sizes=[(1, 8)], counts=torch.tensor([[[1, 8]]]))
    box = torch.tensor([0.5, 0.5, 0.25, 1.0]).view(1, 1, 1, 4)
    seen = attention(torch.zeros(1, 1, 2), tokens, box, one)
    # x = 5/8 and 3/8 of eight cells.
    torch.testing.assert_close(seen[0, 0], torch.tensor([4.5, 2.5]))


def test_places_are_of_float32_in_bfloat16() -> None:
    torch.manual_seed(0)
    attention = MultiScaleAttention(8, 2, 2, 2)
    args = random(2, 5, 8), random(2, TOKENS, 8), torch.rand(2, 5, 2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        half = attention(*args, layout())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), attention(*args, layout()), rtol=0.05, atol=0.05)
