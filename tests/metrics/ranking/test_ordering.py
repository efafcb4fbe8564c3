import numpy as np
import pytest

from corrlight.metrics.ranking.ordering import descending_ranks, order_by


@pytest.mark.parametrize("size", [0, 1, 2, 500])
def test_ranks_fall_with_the_value(size):
    values = np.random.default_rng(size).integers(0, 40, size) / 7 - 2
    distinct = np.unique(values)[::-1].tolist()
    assert descending_ranks(values).tolist() == [distinct.index(v) for v in values.tolist()]


def test_zeros_of_both_signs_are_equal():
    assert descending_ranks(np.array([0.0, -0.0, 1.0, -1.0])).tolist() == [1, 1, 0, 2]


# Together with the rows, the largest keys fit 63 bits all at once, some, or not even one of them.
@pytest.mark.parametrize("largest", [(3, 5), (2**30, 2**31, 3), (2**50, 2**40), (2**62, 2, 2**61)])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 900])
def test_orders_are_those_of_lexsort(largest, size):
    rng = np.random.default_rng(size)
    keys = [rng.choice([0, 1, high // 2, high - 1, high], size) for high in largest]
    np.testing.assert_array_equal(order_by(*keys), np.lexsort(keys[::-1]))
