import pytest
import torch

from corrlight.backbones import LevelProjection

MAPS = [torch.randn(2, c, 16 // 2**i, 24 // 2**i) for i, c in enumerate((4, 8, 12))]


def test_levels_have_one_width_and_are_normalised() -> None:
    neck = LevelProjection([4, 8, 12], out_channels=8, num_levels=4, start_level=1, norm_groups=2)
    levels = neck(MAPS)
    assert [tuple(m.shape) for m in levels] == [
        (2, 8, 8, 12), (2, 8, 4, 6), (2, 8, 2, 3), (2, 8, 1, 2),
    ]  # fmt: skip
    groups = levels[0].unflatten(1, (2, 4)).flatten(2)
    torch.testing.assert_close(groups.mean(-1), torch.zeros(2, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(groups.var(-1, correction=0), torch.ones(2, 2), atol=1e-3, rtol=0)


def test_the_first_coarser_level_sees_the_backbone_and_the_next_the_one_before() -> None:
    neck = LevelProjection([4, 8, 12], out_channels=8, num_levels=5, start_level=1, norm_groups=2)
    levels = neck(MAPS)
    torch.testing.assert_close(levels[2], neck.extra[0](MAPS[2]))
    torch.testing.assert_close(levels[3], neck.extra[1](levels[2]))
    torch.testing.assert_close(levels[4], neck.extra[2](levels[3]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_level": 3}, r"`start_level` to be in 0\.\.2, but got 3"),
        ({"num_levels": 1}, "`num_levels` to be at least 2, but got 1"),
        ({"norm_groups": 3}, "`norm_groups` to divide the 8 channels, but got 3"),
        ({"norm_groups": 0}, "`norm_groups` to be at least 1, but got 0"),
    ],
)
def test_wrong_arguments_are_named(changes, message) -> None:
    options = {"out_channels": 8, "num_levels": 3, "start_level": 1, "norm_groups": 2}
    with pytest.raises(ValueError, match=message):
        LevelProjection([4, 8, 12], **(options | changes))
