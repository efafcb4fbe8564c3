import pytest
import torch
import torch.nn.functional as F

from corrlight.ops.dropout import Dropout
from corrlight.ops.switch import fast_ops


def test_zeroes_its_share_and_keeps_the_mean():
    layer = Dropout(0.1)
    x = torch.ones(1001, 1003, requires_grad=True)
    torch.manual_seed(3)
    y = layer(x)
    y.sum().backward()
    share = (y == 0).double().mean().item()
    assert share == pytest.approx(0.1, abs=5 * (0.09 / x.numel()) ** 0.5 + 2**-17)
    kept = round(0.9 * 2**16) / 2**16
    assert y.unique().tolist() == pytest.approx([0.0, 1 / kept])
    torch.testing.assert_close(x.grad, y.detach())
    # Neighbours share a random word: neither position in it nor neighbourhood may show.
    zeros = (y.detach().flatten()[: 1001 * 1000].view(-1, 4) == 0).double()
    assert zeros.mean(0).tolist() == pytest.approx([0.1] * 4, abs=0.005)
    assert torch.corrcoef(zeros.T).triu(1).abs().max() < 0.01
    torch.manual_seed(3)
    assert torch.equal(layer(x), y)
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_same_distribution_as_torch(p, dtype):
    """Share of zeros and the value of the rest, forward and backward, beside ``F.dropout``."""
    torch.manual_seed(5)
    shape = (7, 3001)
    x = torch.full(shape, 2.0, dtype=dtype, requires_grad=True)
    ours, theirs = Dropout(p)(x), F.dropout(x, p)
    assert ours.dtype == dtype
    deviation = (2 * p * (1 - p) / x.numel()) ** 0.5
    shares = [(y == 0).double().mean().item() for y in (ours, theirs)]
    assert shares[0] == pytest.approx(shares[1], abs=5 * deviation + 2**-17)
    values = [y[y != 0].detach().double().unique() for y in (ours, theirs)]
    assert [len(v) for v in values] == [1, 1]
    # p is rounded to a multiple of 2^-16, then the scale to the type.
    relative = 2**-17 / (1 - p) + 2 * torch.finfo(dtype).eps
    assert values[0].item() == pytest.approx(values[1].item(), rel=relative)
    (gradient,) = torch.autograd.grad(ours, x, torch.full_like(x, 0.5))
    torch.testing.assert_close(gradient, ours.detach() / 4)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (0, 4), (3, 1, 2)])
def test_any_shape(shape):
    x = torch.ones(shape, requires_grad=True)
    y = Dropout(0.5)(x)
    assert y.shape == x.shape
    assert set(y.flatten().tolist()) <= {0.0, 2.0}
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())


def test_channels_last_and_input_without_gradient():
    x = torch.ones(2, 3, 5, 7).to(memory_format=torch.channels_last)
    y = Dropout(0.5)(x)
    assert not y.requires_grad
    assert 0 < (y == 0).float().mean() < 1


def test_everything_is_zeroed_at_one_as_by_torch():
    x = torch.ones(9, requires_grad=True)
    for p in (1.0, 1 - 2**-20):  # The second is 1 to 16 bits.
        y = Dropout(p)(x)
        assert not y.isnan().any()
        assert not y.any()


def test_in_place_is_in_place():
    x = torch.ones(1000)
    y = Dropout(0.5, inplace=True)(x)
    assert y is x
    assert (x == 0).any()


def test_switched_off_it_is_torch_bit_by_bit():
    x = torch.ones(1000)
    results = []
    with fast_ops([]):
        for dropout in (Dropout(0.3), torch.nn.Dropout(0.3)):
            torch.manual_seed(1)
            results.append(dropout(x))
    assert torch.equal(*results)
    torch.manual_seed(1)
    assert not torch.equal(Dropout(0.3)(x), results[0])  # and on it is not


def test_under_autocast_the_type_of_the_input_stays():
    linear = torch.nn.Linear(8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = Dropout(0.5)(linear(torch.ones(4, 8)))
    assert y.dtype == torch.bfloat16
