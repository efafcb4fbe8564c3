"""Two processes on the CPU compute what one computes on the joined batch."""

import itertools

import pytest
import torch

from corrlight.distributed import gather_positives, mean_over_ranks, world_size
from tests.helpers.ranks import sync_ranks
from tests.helpers.ranks.two_ranks import on_two_ranks


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """Results of both ranks; all cases share the two processes, which cost seconds to start."""
    return on_two_ranks(sync_ranks.rank_results, tmp_path_factory.mktemp("ranks"), seconds=150)


@pytest.mark.slow
def test_sync_gives_losses_and_gradient_of_the_joined_batch(ranks):
    """Every coefficient and grouping, for ranks with 0, 1 and many positives."""
    expected = sync_ranks.step_results(None)
    empty = [c for c in sync_ranks.COUNTS if not all(itertools.chain(*c))]
    assert len(empty) * len(sync_ranks.synced_callbacks()) >= 12
    close = {"rtol": 1e-6, "atol": 1e-6}
    for rank in ranks:
        assert rank["steps"].keys() == expected.keys()
        for name, terms in expected.items():
            torch.testing.assert_close(rank["steps"][name], terms, **close, msg=name)
    defined = {k for terms in expected.values() for k, v in terms.items() if bool((v != 0).any())}
    assert {f"loss_{name}" for name in sync_ranks.synced_callbacks()} <= defined


@pytest.mark.slow
def test_the_self_balance_is_equal_on_every_rank_and_untouched_by_validation(ranks):
    first, second = (rank["balance"] for rank in ranks)
    assert first == second
    weights = [state[0] for state in first["trained"]]
    assert weights[0] == 50
    assert len(set(weights)) == 3  # it changed after the second and the fourth step
    assert first["validated"] == first["trained"][-1]


def test_without_sync_the_ranks_differ():
    """The comparison can fail: each half alone has another loss than the joined batch."""
    batches = [sync_ranks.make_batch((20,), seed) for seed in (0, 1)]
    callbacks = {"corr": sync_ranks.CorrelationLoss("concordance", 1.0)}
    values = [
        sync_ranks.make_module(callbacks).step(b).terms["loss_corr"].item()
        for b in (*batches, sync_ranks.joined(*batches))
    ]
    assert abs(sum(values[:2]) / 2 - values[2]) > 1e-3


def test_one_process_gathers_nothing():
    assert world_size() == 1
    terms = [{"loss": torch.tensor(2.0)}]
    assert mean_over_ranks(terms) == terms
    output = sync_ranks.make_module().step(sync_ranks.make_batch((3,), 0))
    assert gather_positives(output.positives, 1) == output.positives
