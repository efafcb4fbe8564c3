import pytest
import torch
from torchvision.ops import FeaturePyramidNetwork

from corrlight.backbones import FPN

CHANNELS = [4, 8, 16, 32]


def _maps(height=50, width=70):
    sizes = [(-(-height // 2**i), -(-width // 2**i)) for i in range(4)]
    return [torch.randn(2, c, *s) for c, s in zip(CHANNELS, sizes, strict=True)]


def test_equals_torchvisions_pyramid():
    oracle = FeaturePyramidNetwork(CHANNELS, 6)
    model = FPN(CHANNELS, 6, num_levels=4, start_level=0, extra_levels=None)
    for i in range(4):
        model.lateral[i].load_state_dict(oracle.inner_blocks[i][0].state_dict())
        model.output[i].load_state_dict(oracle.layer_blocks[i][0].state_dict())
    maps = _maps()
    expected = oracle({str(i): m for i, m in enumerate(maps)})
    for ours, theirs in zip(model(maps), expected.values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["on_output", "on_input"])
def test_extra_levels_come_from_their_source(kind):
    model = FPN(CHANNELS, 6, num_levels=5, start_level=1, extra_levels=kind)
    maps = _maps()
    levels = model(maps)
    assert [tuple(x.shape[2:]) for x in levels] == [(25, 35), (13, 18), (7, 9), (4, 5), (2, 3)]
    source = levels[2] if kind == "on_output" else maps[3]
    torch.testing.assert_close(levels[3], model.output[3](source))
    torch.testing.assert_close(levels[4], model.output[4](levels[3]))


def test_subsampled_levels_have_no_weights():
    model = FPN(CHANNELS, 6, num_levels=6, start_level=0, extra_levels="subsampled")
    levels = model(_maps())
    assert len(model.output) == 4
    for coarse, fine in ((levels[4], levels[3]), (levels[5], levels[4])):
        torch.testing.assert_close(coarse, torch.nn.functional.max_pool2d(fine, 1, 2))


def test_bilinear_differs_from_nearest():
    model = FPN(CHANNELS, 6, num_levels=4, start_level=0, extra_levels=None)
    maps = _maps()
    nearest = model(maps)
    model.upsampling = "bilinear"
    assert not torch.allclose(nearest[0], model(maps)[0])
    torch.testing.assert_close(nearest[3], model(maps)[3])


def test_relu_between_extra_levels():
    torch.manual_seed(0)
    options = {"num_levels": 6, "start_level": 1, "extra_levels": "on_output"}
    model = FPN(CHANNELS, 6, relu_between_extra=True, **options)
    levels = model(_maps())
    torch.testing.assert_close(levels[3], model.output[3](levels[2]))
    for i in (4, 5):
        torch.testing.assert_close(levels[i], model.output[i](levels[i - 1].relu()))
    model.relu_between_extra = False
    assert not torch.allclose(model(_maps())[4], levels[4])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"extra_levels": "on_lateral"}, "`extra_levels`.*got 'on_lateral'"),
        ({"num_levels": 3}, "`num_levels` to be 3 without.*got 3 with 'on_output'"),
        ({"num_levels": 4, "extra_levels": None}, "got 4 with None"),
        ({"start_level": 4}, r"`start_level` to be in 0\.\.3, but got 4"),
        ({"upsampling": "cubic"}, "`upsampling`.*got 'cubic'"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        FPN(CHANNELS, 6, **kwargs)
