import pytest
import torch

from corrlight.detectors.anchors import AnchorGrid

CPU = torch.device("cpu")


def test_centres_lie_on_cell_corners_or_middles():
    for offset in (0.0, 0.5):
        grid = AnchorGrid([8, 16], [64, 128], offset=offset)
        anchors, level_idx = grid([(3, 4), (2, 2)], CPU)
        centres = (anchors[:, :2] + anchors[:, 2:]) / 2
        expected = [
            [(x + offset) * stride, (y + offset) * stride]
            for stride, (height, width) in ((8, (3, 4)), (16, (2, 2)))
            for y in range(height)
            for x in range(width)
        ]
        torch.testing.assert_close(centres, torch.tensor(expected))
        assert level_idx.tolist() == [0] * 12 + [1] * 4
        sizes = (anchors[:, 2:] - anchors[:, :2]).tolist()
        assert sizes == [[64, 64]] * 12 + [[128, 128]] * 4


def test_ratio_is_outermost_and_keeps_the_area():
    grid = AnchorGrid([8], [32], scales=[1, 2], ratios=[0.5, 1, 2])
    anchors, _ = grid([(1, 1)], CPU)
    width, height = (anchors[:, 2:] - anchors[:, :2]).unbind(1)
    torch.testing.assert_close(height / width, torch.tensor([0.5, 0.5, 1, 1, 2, 2]))
    torch.testing.assert_close(height * width, 32.0**2 * torch.tensor([1.0, 4] * 3))
    assert grid.num_per_cell == 6


def test_valid_cells_begin_inside_the_image():
    grid = AnchorGrid([8, 16], [64, 128], scales=[1, 2])
    valid = grid.valid([(3, 4), (2, 2)], [(24, 32), (16, 9)], CPU)
    assert valid[0].all()
    first, second = valid[1, :24].view(3, 4, 2), valid[1, 24:].view(2, 2, 2)
    assert first[:, :, 0].tolist() == [[True, True, False, False]] * 2 + [[False] * 4]
    assert torch.equal(first[..., 0], first[..., 1])
    assert second[:, :, 0].tolist() == [[True, False], [False, False]]


def test_grids_are_computed_once_and_not_kept_forever():
    grid = AnchorGrid([8], [64])
    assert grid([(3, 4)], CPU)[0] is grid([(3, 4)], CPU)[0]
    for height in range(1, 100):
        assert len(grid([(height, 2)], CPU)[0]) == 2 * height
    assert len(grid._cache) < 99


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"sizes": [64]}, "`sizes` to have one entry for each of 2 strides, but got 1"),
        ({"scales": [0]}, r"`scales`.*got \[0\]"),
        ({"ratios": []}, r"`ratios`.*got \[\]"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        AnchorGrid(**{"strides": [8, 16], "sizes": [64, 128], **kwargs})
