import math

import pytest
import torch
import torch.nn.functional as F

from corrlight.detectors.transformer import (
    DecoderLayer,
    EncoderLayer,
    box_branch,
    encode_shares,
    padded_cells,
    sine_encoding,
    valid_cells,
)


@pytest.mark.parametrize("map_size", [(4, 5), (3, 7), (25, 32)])
def test_valid_cells_are_those_of_a_mask_shrunk_to_the_map(map_size) -> None:
    input_size, sizes = (100, 160), [(100, 160), (90, 120), (1, 1), (26, 33), (51, 159)]
    mask = torch.zeros(len(sizes), 1, *input_size)
    for own, (height, width) in zip(mask, sizes, strict=True):
        own[:, :height, :width] = 1
    shrunk = F.interpolate(mask, size=map_size, mode="nearest")[:, 0]
    expected = torch.stack([shrunk[:, :, 0].sum(1), shrunk[:, 0].sum(1)], 1)
    counts = valid_cells(map_size, input_size, sizes, torch.device("cpu"))
    assert counts.tolist() == expected.tolist()


def test_sine_encoding_written_out() -> None:
    counts = torch.tensor([[3, 2], [4, 5]])
    encoded = sine_encoding((4, 5), counts, 8, temperature=100.0)
    assert encoded.shape == (2, 20, 8)
    # Image 0, row 1, column 0: positions 2/3 and 1/2; two frequencies, 1 and 1/10, each.
    expected = []
    for position in (2 / (3 + 1e-6), 1 / (2 + 1e-6)):
        for divisor in (1.0, 10.0):
            angle = 2 * math.pi * position / divisor
            expected += [math.sin(angle), math.cos(angle)]
    assert encoded[0, 5].tolist() == pytest.approx(expected, abs=1e-5)
    # Beyond the content the last position is repeated.
    assert torch.equal(encoded[0, 15:], encoded[0, 10:15])
    assert torch.equal(encoded[0, 1], encoded[0, 4])


def test_an_offset_moves_to_the_middles_of_cells() -> None:
    counts = torch.tensor([[4, 5]])
    encoded = sine_encoding((4, 5), counts, 8, temperature=100.0, offset=-0.5)
    angle = 2 * math.pi * 0.5 / (4 + 1e-6)
    assert encoded[0, 0, :2].tolist() == pytest.approx([math.sin(angle), math.cos(angle)])
    y, x = encode_shares(torch.tensor([0.5 / 4, 0.5 / 5]), 4, temperature=100.0)
    torch.testing.assert_close(encoded[0, 0], torch.cat([y, x]))


def test_padded_cells_lie_beyond_rows_or_columns_of_content() -> None:
    found = padded_cells((2, 3), torch.tensor([[2, 3], [1, 2]]))
    assert not found[0].any()
    assert found[1].int().tolist() == [0, 0, 1, 1, 1, 1]


def test_the_branch_of_boxes_gives_four_numbers() -> None:
    branch = box_branch(6)
    assert branch(torch.zeros(2, 5, 6)).shape == (2, 5, 4)
    assert sum(p.numel() for p in branch.parameters()) == 2 * (36 + 6) + 24 + 4


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("norm_first", [False, True])
def test_padded_tokens_change_nothing(norm_first) -> None:
    torch.manual_seed(0)
    encoder = EncoderLayer(16, 4, 32, 0.0, norm_first)
    decoder = DecoderLayer(16, 4, 32, 0.0, norm_first)
    tokens, positions, queries = random(2, 9, 16), random(2, 9, 16), random(2, 5, 16)
    padding = torch.zeros(2, 9, dtype=torch.bool)
    padding[:, 6:] = True
    changed = tokens.masked_fill(padding[..., None], 7.0)
    outputs = []
    for given in (tokens, changed):
        seen = encoder(given, positions, padding)
        found = decoder(torch.zeros_like(queries), queries, seen, seen + positions, padding)
        outputs.append((seen[:, :6], found))
    for a, b in zip(*outputs, strict=True):
        torch.testing.assert_close(a, b)
    unpadded = decoder(torch.zeros_like(queries), queries, seen, seen + positions, None)
    assert not torch.allclose(unpadded, found)


def test_the_order_of_queries_and_tokens_does_not_matter() -> None:
    torch.manual_seed(0)
    layer = DecoderLayer(16, 4, 32, 0.0).eval()
    queries, tokens, keys = random(1, 5, 16), random(1, 9, 16), random(1, 9, 16) * 2
    contents = torch.zeros_like(queries)
    found = layer(contents, queries, tokens, keys, None)
    of_queries, of_tokens = torch.tensor([3, 1, 4, 0, 2]), torch.randperm(9)
    turned = layer(contents, queries[:, of_queries], tokens[:, of_tokens], keys[:, of_tokens], None)
    torch.testing.assert_close(turned, found[:, of_queries])


def test_looking_around_weighs_tokens_by_their_distance() -> None:
    torch.manual_seed(0)
    layer = DecoderLayer(64, 4, 32, 0.0)
    layer.look_around()
    points = sine_encoding((8, 8), torch.tensor([[8, 8]]), 64, temperature=20.0)[0]
    weight = layer.cross_attention.in_proj_weight
    similarity = (points @ weight[:64].T) @ (points @ weight[64:128].T).T
    assert torch.equal(similarity.argmax(1), torch.arange(64))
    # Row 3, column 3: the farther along the row, the less alike.
    assert (similarity[27, 27:32].diff() < 0).all()
