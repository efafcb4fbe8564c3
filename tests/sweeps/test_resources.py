from pathlib import Path

import pytest

from corrlight.sweeps.job import Job
from corrlight.sweeps.resources import Resources, visible_gpus


def jobs(*kinds, **options):
    return [
        Job(name=f"{kind}{k}", overrides=(kind,), folder=Path(str(k)), **options)
        for k, kind in enumerate(kinds)
    ]


@pytest.mark.parametrize(
    ("count", "options", "expected"),
    [
        (6, {"cpus": 2}, Resources(2, 1)),
        (1, {"cpus": 2}, Resources(1, 2)),
        (6, {"cpus": 16, "at_once": 4}, Resources(4, 4)),
        (3, {"cpus": 1}, Resources(1, 1)),
        (0, {"cpus": 4}, Resources(1, 4)),
    ],
)
def test_cpus_are_shared_out(count, options, expected):
    assert Resources.of(jobs(*["fine"] * count), **options) == expected


def test_ranks_share_the_cpus_too():
    assert Resources.of(jobs("fine", "fine", ranks=2), cpus=8) == Resources(2, 2)


def test_two_jobs_may_share_a_gpu():
    both = jobs("fine", "fine", gpu=True)
    assert Resources.of(both, gpus=["0"], cpus=4).at_once == 1
    assert Resources.of(both, gpus=["0"], cpus=4, jobs_per_gpu=2) == Resources(2, 2, ("0", "0"))


def test_impossible_resources_are_refused():
    with pytest.raises(ValueError, match="Expected at least 2 GPUs for 'fine0', but 1 are"):
        Resources.of(jobs("fine", gpu=True, ranks=2), gpus=["0"])
    with pytest.raises(ValueError, match=r"`launcher\.threads`"):
        Resources.of(jobs("fine"), threads=0)


def test_visible_gpus_are_those_of_the_environment(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5")
    assert visible_gpus() == ["2", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
