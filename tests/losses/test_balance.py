"""The self-balances of aLRP and of Rank & Sort."""

import pytest
import torch

from corrlight.losses.balance import EpochBalance, balance_to


def test_balance_to_keeps_the_direction():
    boxes = torch.tensor([1.0, 3.0], requires_grad=True)
    loss = balance_to(boxes.mean(), torch.tensor(0.5))
    assert loss == 0.5
    loss.backward()
    torch.testing.assert_close(boxes.grad, torch.tensor([0.125, 0.125]))
    zero = balance_to(torch.zeros((), requires_grad=True), torch.tensor(0.5))
    assert zero == 0
    zero.backward()


def test_epoch_balance_is_in_the_state():
    balance = EpochBalance(initial=50, period=2)
    balance.update(torch.tensor(0.5), torch.tensor(0.25))
    assert balance.weight == 50
    restored = EpochBalance(period=2)
    restored.load_state_dict(balance.state_dict())
    for each in (balance, restored):
        each.update(torch.tensor(1.0), torch.tensor(0.25))
        assert each.weight == (1.5 + 0.5) / 0.5
    with pytest.raises(ValueError, match="`period` to be an integer >= 1, but got 0"):
        EpochBalance(period=0)


def test_a_period_without_localisation_error_keeps_the_weight():
    balance = EpochBalance(initial=7, period=1)
    balance.update(torch.tensor(0.5), torch.tensor(0.0))
    assert balance.weight == 7
    balance.update(torch.tensor(0.5), torch.tensor(0.25))
    assert balance.weight == 3  # the step before was forgotten
