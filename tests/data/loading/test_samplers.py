from itertools import chain

import numpy as np
import pytest

from corrlight.data.loading.samplers import EvalBatchSampler, TrainBatchSampler

MULTIPLE = "Expected `batch_size` to be a positive multiple of the number of ranks"
WORLDS, COUNTS = (1, 2, 3), (5, 7, 16)


def indices(batches):
    return [index for batch in batches for index, _ in batch]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("batch", [1, 4])
def test_evaluation_shards_are_exact(world, count, batch):
    shards = [list(EvalBatchSampler(count, batch, rank=r, world_size=world)) for r in range(world)]
    # The batches are those of one process, dealt out in turn.
    alone = list(EvalBatchSampler(count, batch))
    assert [shards[k % world][k // world] for k in range(len(alone))] == alone
    # Beyond that, a rank that got none repeats the first.
    assert list(shards[len(alone) :]) == [alone[:1]] * max(0, world - len(alone))
    seen = [index for shard in shards[: len(alone)] for b in shard for index in b]
    assert sorted(seen) == list(range(count))


def test_a_rank_without_images_of_its_own_repeats_a_batch():
    """A rank without a batch would leave the final gather out, and the others would wait."""
    assert list(EvalBatchSampler(2, 4, rank=1, world_size=2)) == [[0, 1]]
    assert list(EvalBatchSampler(0, 4, rank=0, world_size=1)) == []


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("grouped", [False, True])
def test_training_batches_of_all_ranks_are_those_of_one(world, count, grouped):
    groups = [k % 3 == 0 for k in range(count)] if grouped else None
    samplers = [
        TrainBatchSampler(count, 6, 1, rank=r, world_size=world, groups=groups)
        for r in range(world)
    ]
    shares = [list(s) for s in samplers]
    alone = list(TrainBatchSampler(count, 6, 1, groups=groups))
    assert {len(s) for s in shares} == {len(s) for s in samplers} == {len(alone)}
    for k, batch in enumerate(alone):
        parts = [share[k] for share in shares]
        assert len({len(p) for p in parts}) == 1
        together = list(chain.from_iterable(parts))
        assert together[: len(batch)] == batch
        assert len(together) - len(batch) < world
    assert sorted(indices(alone)) == list(range(count))


def test_groups_are_not_mixed():
    groups = np.array([0, 1, 0, 0, 1, 1, 1, 0, 1, 0, 1])
    batches = list(TrainBatchSampler(11, 2, 0, world_size=1, groups=groups))
    assert all(len({groups[index] for index, _ in batch}) == 1 for batch in batches)
    order = [groups[batch[0][0]] for batch in batches]
    assert order != sorted(order)


def test_order_and_seeds_depend_on_seed_and_epoch_only():
    def epochs(seed, numbers):
        sampler = TrainBatchSampler(9, 4, seed)
        result = {}
        for epoch in numbers:
            sampler.set_epoch(epoch)
            result[epoch] = list(sampler)
        return result

    first = epochs(3, [0, 1, 2])
    again = epochs(3, [2, 0])
    assert again[2] == first[2]
    assert again[0] == first[0]
    assert indices(first[0]) != indices(first[1])
    assert first[0] != epochs(4, [0])[0]
    seeds = [dict(chain.from_iterable(first[e])) for e in (0, 1)]
    assert len(set(seeds[0].values()) | set(seeds[1].values())) == 18


def test_seed_of_a_sample_is_the_same_on_every_rank_and_batch_size():
    alone = dict(chain.from_iterable(TrainBatchSampler(10, 2, 5)))
    other = dict(chain.from_iterable(TrainBatchSampler(10, 10, 5, rank=1, world_size=2)))
    assert other.items() <= alone.items()


def test_start_batch_skips_and_the_next_epoch_begins_at_its_start():
    sampler = TrainBatchSampler(10, 2, 5)
    whole = list(sampler)
    sampler.start_batch = 3
    assert list(sampler) == whole[3:]
    assert len(sampler) == 5
    sampler.set_epoch(0)
    assert list(sampler) == whole[3:]
    sampler.set_epoch(1)
    assert len(list(sampler)) == 5


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, 4, 0), {}, "Expected at least 1 training image, but got none."),
        ((9, 0, 0), {}, f"{MULTIPLE} (1), but got 0."),
        ((9, 4, 0), {"world_size": 3}, f"{MULTIPLE} (3), but got 4."),
        ((9, 4, 0), {"rank": 2, "world_size": 2}, "Expected `rank` to be in [0, 2), but got 2."),
    ],
)  # fmt: skip
def test_bad_training_options(arguments, options, message):
    with pytest.raises(ValueError) as caught:
        TrainBatchSampler(*arguments, **options)
    assert str(caught.value) == message


def test_bad_evaluation_options():
    with pytest.raises(ValueError, match=r"`eval_batch_size` to be positive, but got 0\."):
        EvalBatchSampler(4, 0)
