import torch
import torch.nn.functional as F

from corrlight.detectors.deformable import LevelLayout
from tests.detectors.build import OBJECTS, batch_with


def maps(*sizes, images=2):
    return [torch.zeros(images, 4, *size) for size in sizes]


def test_shares_and_padding_are_those_of_a_mask_shrunk_to_the_maps() -> None:
    batch, sizes = batch_with(OBJECTS, OBJECTS), [(8, 12), (4, 6), (2, 3)]
    layout = LevelLayout.of(maps(*sizes), batch)
    mask = torch.ones(2, 1, 64, 96)
    for own, (height, width) in zip(mask, batch.valid_sizes, strict=True):
        own[:, :height, :width] = 0
    start = 0
    for level, size in enumerate(sizes):
        shrunk = F.interpolate(mask, size=size)[:, 0].bool()
        end = start + shrunk[0].numel()
        assert torch.equal(layout.padding[:, start:end], shrunk.flatten(1))
        expected = torch.stack(
            [(~shrunk[:, 0]).float().mean(1), (~shrunk[:, :, 0]).float().mean(1)], 1
        )
        torch.testing.assert_close(layout.shares()[:, level], expected)
        assert (layout.level_idx()[start:end] == level).all()
        start = end
    assert layout.padding.shape == (2, start)
    assert LevelLayout.of(maps(*sizes, images=1), batch_with(OBJECTS)).padding is None


def test_middles_of_cells_are_shares_of_the_content() -> None:
    layout = LevelLayout(
        sizes=[(2, 3), (1, 2)], counts=torch.tensor([[[2, 3], [1, 2]], [[1, 2], [1, 1]]])
    )
    x, y = layout.middles().unbind(-1)
    torch.testing.assert_close(x[0], torch.tensor([1, 3, 5, 1, 3, 5, 1.5, 4.5]) / 6)
    torch.testing.assert_close(y[0], torch.tensor([1, 1, 1, 3, 3, 3, 2, 2.0]) / 4)
    torch.testing.assert_close(x[1, :3], torch.tensor([0.25, 0.75, 1.25]))
    torch.testing.assert_close(y[1, [0, 3]], torch.tensor([0.5, 1.5]))


def test_encodings_tell_levels_apart() -> None:
    layout = LevelLayout.of(maps((2, 3), (2, 3)), batch_with(OBJECTS, OBJECTS))
    encoded = layout.encodings(torch.tensor([[0.0] * 8, [1.0] * 8]))
    assert encoded.shape == (2, 12, 8)
    torch.testing.assert_close(encoded[:, 6:] - encoded[:, :6], torch.ones(2, 6, 8))
    # The middle column of three is half of a turn.
    torch.testing.assert_close(encoded[0, 1, 4:6], torch.tensor([0.0, -1.0]), atol=1e-5, rtol=0)
