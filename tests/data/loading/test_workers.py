import os

import pytest

from corrlight.data.loading.workers import available_cpus, workers_for


@pytest.mark.parametrize(
    ("asked", "ranks", "cpus", "expected"),
    [(4, 1, 2, 2), (4, 1, 8, 4), (4, 4, 8, 2), (4, 8, 2, 1), (0, 1, 2, 0)],
)
def test_at_most_the_share_of_the_cpus(asked, ranks, cpus, expected):
    assert workers_for(asked, ranks, cpus) == expected


def test_only_the_cpus_of_this_process_count():
    if hasattr(os, "sched_getaffinity"):
        assert available_cpus() == len(os.sched_getaffinity(0))
    assert 1 <= available_cpus() <= (os.cpu_count() or 1)
