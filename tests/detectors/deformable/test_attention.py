import pytest
import torch

from corrlight.detectors.deformable import LevelLayout, MultiScaleAttention

SIZES = [(3, 4), (2, 2)]
TOKENS = 16


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


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
