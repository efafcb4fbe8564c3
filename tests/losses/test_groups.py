"""Groups of positives against a loop over them."""

import pytest
import torch
from torch.testing import assert_close

from corrlight.losses.groups import Groups

LABELS = torch.tensor([7, 3, 7, 0, 3, 7])


def random(n):
    return torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))


def test_the_order_makes_groups_consecutive_and_keeps_theirs():
    groups, order = Groups.of(LABELS)
    assert groups.sizes.tolist() == [1, 2, 3]
    assert order.tolist() == [3, 1, 4, 0, 2, 5]
    assert len(groups) == 3


@pytest.mark.parametrize("labels", [LABELS, torch.zeros(6, dtype=torch.long), torch.arange(6)])
def test_sums_are_those_of_the_parts(labels):
    groups, order = Groups.of(labels)
    values = random(6)[order].requires_grad_()
    parts = [values[labels[order] == k] for k in labels.unique()]
    for split, part in zip(groups.split(values), parts, strict=True):
        assert torch.equal(split, part)
    assert_close(groups.sum(values), torch.stack([p.sum() for p in parts]))
    assert_close(groups.mean(values), torch.stack([p.mean() for p in parts]))
    assert_close(groups.max(values), torch.stack([p.max() for p in parts]))
    assert_close(groups.centred(values), torch.cat([p - p.mean() for p in parts]))
    numbers = random(len(parts))
    spread = numbers.repeat_interleave(groups.sizes)
    assert_close(groups.spread(numbers).expand(6), spread)
    for name in ("sum", "mean", "max", "centred"):
        assert torch.autograd.gradcheck(getattr(groups, name), (values,)), name


def test_ties_share_the_gradient_of_the_maximum():
    for groups in (Groups.whole(torch.ones(2)), Groups.of(torch.tensor([0, 0, 1]))[0]):
        values = torch.ones(groups.length, requires_grad=True)
        groups.max(values)[0].backward()
        assert values.grad[:2].tolist() == [0.5, 0.5]


def test_the_whole_is_one_group_without_an_index():
    groups = Groups.whole(torch.zeros(4))
    assert (len(groups), groups.sizes.tolist()) == (1, [4])
    assert groups.spread(torch.tensor([2.0])).shape == (1,)  # broadcasts
