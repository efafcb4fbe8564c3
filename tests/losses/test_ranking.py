"""Ranking losses against plain loops over the pairs, and on ordinary and extreme input."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corrlight.losses import alrp_loss, ap_loss, rank_sort_loss
from corrlight.losses import ranking as ranking_module
from corrlight.losses.pairwise import smoothed_step
from tests.helpers.hypothesis_settings import UNHURRIED

LOSSES = {
    "ap": ap_loss,
    "alrp": lambda x, t, d: alrp_loss(x, t, torch.full((int((t > 0).sum()),), 0.3), d),
    "rank_sort": rank_sort_loss,
}
everywhere = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def random_case(num_pos, num_neg, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_pos + num_neg, dtype=dtype, generator=generator)
    targets = torch.zeros(num_pos + num_neg, dtype=dtype)
    targets[:num_pos] = torch.rand(num_pos, dtype=dtype, generator=generator) * 0.9 + 0.1
    order = torch.randperm(num_pos + num_neg, generator=generator)
    return logits[order].requires_grad_(), targets[order]


def rank_sort_by_loops(logits, targets, delta):
    """Return both losses and the gradient of their sum, one positive and one pair at a time."""
    positives = [k for k, t in enumerate(targets.tolist()) if t > 0]
    negatives = [k for k, t in enumerate(targets.tolist()) if t == 0]
    step = lambda j, i: float(smoothed_step(logits[j] - logits[i], delta))  # noqa: E731
    grad = torch.zeros_like(logits)
    ranking = sorting = 0.0
    for i in positives:
        rank_pos = sum(step(j, i) for j in positives)
        false_pos = sum(step(k, i) for k in negatives)
        error = false_pos / (rank_pos + false_pos)
        ranking += error
        if false_pos > 0:
            grad[i] -= error
            for k in negatives:
                grad[k] += error * step(k, i) / false_pos
        better = [j for j in positives if targets[j] >= targets[i]]
        current = sum(step(j, i) * (1 - float(targets[j])) for j in positives) / rank_pos
        target = sum(step(j, i) * (1 - float(targets[j])) for j in better)
        target /= sum(step(j, i) for j in better)
        sorting += current - target
        worse = {j: step(j, i) for j in positives if targets[j] < targets[i]}
        if sum(worse.values()) > 0:
            grad[i] -= current - target
            for j, h in worse.items():
                grad[j] += (current - target) * h / sum(worse.values())
    count = len(positives)
    return ranking / count, sorting / count, grad / count


@pytest.mark.parametrize("delta", [0.0, 0.1, 0.5, 3.0])
@pytest.mark.parametrize(("num_pos", "num_neg"), [(1, 0), (1, 9), (6, 1), (9, 30)])
def test_rank_sort_is_the_loop(delta, num_pos, num_neg):
    logits, targets = random_case(num_pos, num_neg)
    ranking, sorting, grad = rank_sort_by_loops(logits.detach(), targets, delta)
    values = rank_sort_loss(logits, targets, delta)
    assert values[0].item() == pytest.approx(ranking, rel=1e-12, abs=1e-14)
    assert values[1].item() == pytest.approx(sorting, rel=1e-12, abs=1e-14)
    sum(values).backward()
    torch.testing.assert_close(logits.grad, grad, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("pairs", [1, 7, 50])
def test_rank_sort_does_not_depend_on_the_chunks(monkeypatch, pairs):
    logits, targets = random_case(40, 20)
    expected = rank_sort_loss(logits, targets)
    (expected_grad,) = torch.autograd.grad(sum(expected), logits)
    monkeypatch.setattr(ranking_module, "_PAIRS", pairs)
    values = rank_sort_loss(logits, targets)
    (grad,) = torch.autograd.grad(sum(values), logits)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(grad, expected_grad)


def test_rank_sort_parts_have_their_own_gradients():
    logits, targets = random_case(8, 30)
    ranking, sorting = rank_sort_loss(logits, targets)
    (first,) = torch.autograd.grad(ranking, logits, retain_graph=True)
    (second,) = torch.autograd.grad(sorting, logits, retain_graph=True)
    (both,) = torch.autograd.grad(3 * ranking + 0.5 * sorting, logits)
    torch.testing.assert_close(both, 3 * first + 0.5 * second)
    assert (second[targets == 0] == 0).all()
    assert (second != 0).any()


@everywhere
@pytest.mark.parametrize("delta", [0.0, 0.5, 1.0])
def test_what_positives_lose_negatives_and_positives_gain(loss, delta):
    logits, targets = random_case(12, 60)
    values = loss(logits, targets, delta)
    total = sum(values) if isinstance(values, tuple) else values
    total.backward()
    assert logits.grad.sum().abs() < 1e-12
    assert (logits.grad[targets == 0] >= 0).all()


@everywhere
def test_ignored_examples_do_not_matter(loss):
    logits, targets = random_case(6, 20)
    expected = loss(logits, targets, 0.5)
    more_logits = torch.cat([logits.detach(), torch.full((5,), 9.0)]).requires_grad_()
    values = loss(more_logits, torch.cat([targets, torch.full((5,), -1.0)]), 0.5)
    torch.testing.assert_close(values, expected)
    (sum(values) if isinstance(values, tuple) else values).backward()
    assert (more_logits.grad[-5:] == 0).all()


@everywhere
def test_permutation_and_shape(loss):
    logits, targets = random_case(6, 18)
    values = loss(logits, targets, 0.5)
    order = torch.randperm(24)
    torch.testing.assert_close(loss(logits[order], targets[order], 0.5), values)
    torch.testing.assert_close(loss(logits.view(4, 6), targets.view(4, 6), 0.5), values)
    torch.testing.assert_close(loss(logits + 2.5, targets, 0.5), values)


def test_perfect_ranking():
    logits = torch.tensor([9.0, 6.0, -5.0, -7.0])
    targets = torch.tensor([0.9, 0.6, 0.0, 0.0])
    assert ap_loss(logits, targets) == 0
    assert alrp_loss(logits, targets, torch.zeros(2))[0] == 0
    ranking, sorting = rank_sort_loss(logits, targets)
    assert ranking == 0
    assert sorting == 0


def test_wrongly_sorted_positives():
    ranking, sorting = rank_sort_loss(torch.tensor([6.0, 9.0]), torch.tensor([0.9, 0.6]))
    assert ranking == 0
    # Only the first is wrong: it sees both (own weight 1/2) where it should see itself.
    expected = (0.5 * 0.1 + 1 * 0.4) / 1.5 - 0.1
    assert sorting.item() == pytest.approx(expected / 2)


@everywhere
@given(
    rows=st.lists(
        st.tuples(
            st.floats(-1e4, 1e4) | st.floats(-2, 2) | st.sampled_from([0.0, 0.5, 1e4, -1e4]),
            st.sampled_from([-1.0, 0.0, 0.0, 1.0, 0.5]) | st.floats(0, 1),
        ),
        max_size=30,
    ),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    delta=st.sampled_from([0.0, 0.5, 1.0]),
)
@settings(UNHURRIED, max_examples=60)
def test_always_finite(loss, rows, dtype, delta):
    table = torch.tensor(rows, dtype=torch.float64).view(-1, 2)
    logits, targets = table[:, 0].to(dtype).requires_grad_(), table[:, 1].to(dtype)
    values = loss(logits, targets, delta)
    total = sum(values) if isinstance(values, tuple) else values
    assert total.isfinite()
    total.backward()
    assert logits.grad.dtype == dtype
    assert logits.grad.isfinite().all()


@everywhere
def test_bad_input(loss):
    logits, targets = random_case(3, 4)
    with pytest.raises(ValueError, match=r"shape \(7,\), but got \(6,\)"):
        loss(logits, targets[:6], 0.5)
    with pytest.raises(ValueError, match="`delta` to be a finite number >= 0, but got -1"):
        loss(logits, targets, -1)
    with pytest.raises(ValueError, match="`logits` to be finite, but 1 of 7 are NaN or infinite"):
        loss(torch.cat([logits[:6], torch.tensor([float("nan")])]), targets, 0.5)


@pytest.mark.parametrize("delta", [0.0, 0.5, 1.0])
def test_alrp_localisation_follows_the_order_of_tied_positives(delta):
    """As published: of equal logits the later comes after, and sums are taken from the end."""
    logits, targets = torch.tensor([1.0, 1.0, 0.0]).double(), torch.tensor([1, 1, 0])
    above_negative = 1.0 if delta == 0 else min(max(-1 / delta / 2 + 0.5, 0.0), 1.0)
    false = 0.0 if delta == 0 else above_negative
    rank = (2.0 if delta == 0 else 1.5) + false
    found = {}
    for errors in ([0.2, 0.8], [0.8, 0.2]):
        e = torch.tensor(errors, dtype=torch.float64, requires_grad=True)
        classification, localisation = alrp_loss(logits, targets, e, delta)
        (slope,) = torch.autograd.grad(localisation, e)
        # Ascending: first, second; the first is summed with the second, the second is alone.
        expected = ((errors[0] + errors[1]) / rank + errors[1] / rank) / 2
        assert float(localisation.detach()) == pytest.approx(expected, rel=1e-12)
        assert slope.tolist() == pytest.approx([0.5 / rank, 1 / rank], rel=1e-12)
        found[errors[0]] = float(classification.detach())
    assert found[0.2] == found[0.8]


def test_ties_keep_their_order_however_many_there_are():
    """An unstable sort shuffles equal values of long inputs."""
    count = 5000
    errors = torch.linspace(0, 1, count, dtype=torch.float64)
    logits = torch.zeros(count, dtype=torch.float64)
    _, localisation = alrp_loss(logits, torch.ones(count), errors, 0.0)
    assert float(localisation.detach()) == pytest.approx(
        float(errors.flip(0).cumsum(0).mean()) / count
    )


@pytest.mark.parametrize("largest", [1.5, 7.0])
def test_rank_sort_targets_are_ious(largest):
    with pytest.raises(ValueError, match=f"`targets` to be IoUs of at most 1, but got {largest:g}"):
        rank_sort_loss(torch.zeros(2), torch.tensor([largest, 0.0]))
    rank_sort_loss(torch.zeros(2), torch.tensor([1 + 1e-6, 0.0]))


def test_alrp_wants_one_error_per_positive():
    logits, targets = random_case(3, 4)
    with pytest.raises(ValueError, match=r"one per positive, \(3,\), but got \(4,\)"):
        alrp_loss(logits, targets, torch.zeros(4))
