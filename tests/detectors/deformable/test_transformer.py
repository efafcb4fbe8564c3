import pytest
import torch

from corrlight.detectors.deformable import (
    DeformableDecoderLayer,
    DeformableEncoderLayer,
    LevelLayout,
)

SIZES = [(3, 4), (2, 2)]
OPTIONS = {
    "channels": 16, "num_heads": 4, "num_levels": 2, "num_points": 2,
    "feedforward_channels": 32, "dropout": 0.0,
}  # fmt: skip


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def layout():
    padding = torch.zeros(2, 16, dtype=torch.bool)
    padding[1, 8:12] = True
    counts = torch.tensor([[[3, 4], [2, 2]], [[2, 4], [2, 2]]])
    return LevelLayout(sizes=SIZES, counts=counts, padding=padding)


def test_padded_tokens_change_nothing() -> None:
    torch.manual_seed(0)
    encoder, decoder = DeformableEncoderLayer(**OPTIONS), DeformableDecoderLayer(**OPTIONS)
    own = layout()
    middles = own.middles()[:, :, None] * own.shares()[:, None]
    tokens, positions, queries = random(2, 16, 16), random(2, 16, 16), random(2, 5, 16)
    references = torch.rand(2, 5, 2, 4)
    found = []
    for given in (tokens, tokens.masked_fill(own.padding[..., None], 7.0)):
        seen = encoder(given, positions, middles, own)
        contents = decoder(queries, queries, seen, references, own)
        found.append((seen[~own.padding], contents))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_the_order_of_queries_does_not_matter() -> None:
    torch.manual_seed(0)
    layer = DeformableDecoderLayer(**OPTIONS)
    contents, positions, tokens = random(2, 5, 16), random(2, 5, 16) + 1, random(2, 16, 16)
    references = torch.rand(2, 5, 2, 2)
    found = layer(contents, positions, tokens, references, layout())
    order = torch.tensor([3, 1, 4, 0, 2])
    turned = layer(contents[:, order], positions[:, order], tokens, references[:, order], layout())
    torch.testing.assert_close(turned, found[:, order])


@pytest.mark.parametrize("kind", [DeformableEncoderLayer, DeformableDecoderLayer])
def test_outputs_are_normalised(kind) -> None:
    torch.manual_seed(0)
    own = layout()
    middles = own.middles()[:, :, None] * own.shares()[:, None]
    tokens = random(2, 16, 16)
    args = (
        (tokens, middles, own) if kind is DeformableEncoderLayer else (tokens, tokens, middles, own)
    )
    found = kind(**OPTIONS)(tokens, *args)
    torch.testing.assert_close(found.mean(-1), torch.zeros(2, 16), atol=1e-5, rtol=0)
