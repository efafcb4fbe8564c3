import torch
from torch import nn

from corrlight.detectors.deformable import EncoderProposals, LevelLayout

# 8 x 10 cells of the first level, 2 x 2 of the fifth, whose boxes would be 0.8 of the image.
SIZES = [(8, 10), (4, 5)]


def layout(padded=False):
    counts = torch.tensor([[[8, 10], [4, 5]], [[8, 5], [4, 3]] if padded else [[8, 10], [4, 5]]])
    columns = [torch.arange(w).expand(h, w).flatten() for h, w in SIZES]
    beyond = torch.cat([c >= n for c, n in zip(columns, counts[1, :, 1], strict=True)])
    padding = torch.stack([torch.zeros(100, dtype=torch.bool), beyond]) if padded else None
    return LevelLayout(sizes=SIZES, counts=counts, padding=padding)


def propose(own, num_queries=7, sizes_of=8):
    torch.manual_seed(0)
    proposals, cls, reg = EncoderProposals(sizes_of), nn.Linear(sizes_of, 3), nn.Linear(sizes_of, 4)
    tokens = torch.randn(2, 100, sizes_of)
    nn.init.zeros_(reg.weight)
    nn.init.zeros_(reg.bias)
    return proposals(tokens, own, cls, reg, num_queries), proposals, cls, tokens


def test_boxes_start_at_the_cells_with_an_edge_of_the_level() -> None:
    found = propose(layout())[0]
    torch.testing.assert_close(found.boxes[0, 0], torch.tensor([0.05, 0.0625, 0.05, 0.05]))
    torch.testing.assert_close(found.boxes[0, 80], torch.tensor([0.1, 0.125, 0.1, 0.1]))
    assert found.logits.shape == (2, 100, 3)


def test_the_best_of_the_first_class_become_queries() -> None:
    found, *_ = propose(layout())
    best = found.logits[..., 0].topk(7, 1).indices
    expected = found.boxes.gather(1, best[..., None].expand(-1, -1, 4))
    assert torch.equal(found.references, expected)
    assert not found.references.requires_grad
    assert found.positions.shape == found.contents.shape == (2, 7, 8)


def test_tokens_of_padding_have_nothing_to_say() -> None:
    own = layout(padded=True)
    found, proposals, cls, _ = propose(own)
    nothing = cls(proposals.norm(proposals.project(torch.zeros(8))))
    beyond = own.padding[1]
    torch.testing.assert_close(found.logits[1, beyond], nothing.expand(int(beyond.sum()), -1))
    assert (found.boxes[1, beyond] == 1).all()
    assert (found.boxes[1, ~beyond] < 1).all()
    assert found.boxes.isfinite().all()


def test_fewer_tokens_than_queries_are_all_chosen() -> None:
    assert propose(layout(), num_queries=300)[0].references.shape == (2, 100, 4)
