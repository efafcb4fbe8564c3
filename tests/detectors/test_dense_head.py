import pytest
import torch

from corrlight.detectors.dense_head import ConvTower


@pytest.mark.parametrize("norm_groups", [None, 8])
@pytest.mark.parametrize("channels", [16, 128])
def test_towers_are_stacks_of_convolutions(channels, norm_groups):
    """The wide ones are convolved by another algorithm; both give the plain stack's gradients."""
    torch.manual_seed(0)
    tower = ConvTower(channels, channels, 2, norm_groups).to(memory_format=torch.channels_last)
    maps = [torch.randn(1, channels, 24, 32), torch.randn(1, channels, 5, 7)]
    maps = [m.to(memory_format=torch.channels_last).requires_grad_() for m in maps]
    expected = []
    for x in maps:
        for block in tower:
            x = torch.nn.functional.conv2d(x, block.conv.weight, block.conv.bias, padding=1)
            x = (x if block.norm is None else block.norm(x)).relu()
        expected.append(x)
    actual = tower(maps)
    inputs = [*maps, *tower.parameters()]
    gradients, wanted = (
        torch.autograd.grad(sum(m.square().sum() for m in out), inputs)
        for out in (actual, expected)
    )
    for a, b in zip([*actual, *gradients], [*expected, *wanted], strict=True):
        assert float((a - b).detach().norm()) < 1e-3 * float(b.detach().norm())


def test_towers_without_convolutions_return_their_input():
    maps = [torch.randn(1, 4, 3, 3)]
    assert ConvTower(4, 4, 0, None)(maps) is maps
