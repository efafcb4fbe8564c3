import numpy as np
import pytest

from benchmarks.intervals.coverage import MEASURES, SORTS, analyses, coverage, population
from corrlight.analysis.intervals import (
    bootstrap,
    difference,
    difference_intervals,
    intervals,
)


@pytest.fixture(scope="module")
def files():
    whole = population(SORTS["geometric"], 60, np.random.default_rng(0))
    return analyses(whole, list(range(60)))


def test_intervals_hold_their_values(files):
    for samples, analysis in zip(bootstrap(files, 60, 20), files, strict=True):
        found = intervals(samples)
        assert set(MEASURES) <= set(found)
        for name, ends in found.items():
            assert ends is not None, name
            assert ends[0] <= analysis.metrics[name] <= ends[1], name
            assert ends[0] < ends[1], name


def test_draws_are_the_seeds(files):
    first, again, other = (
        [intervals(s) for s in bootstrap(files, 60, 10, seed)] for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_a_file_differs_from_itself_by_nothing(files):
    same = bootstrap([files[0], files[0]], 60, 10)
    assert set(difference_intervals(*same).values()) == {(0.0, 0.0)}
    assert set(difference(files[0], files[0]).values()) == {0.0}


def test_differences_are_paired(files):
    a, b = bootstrap(files, 60, 40)
    paired, first, second = difference_intervals(a, b), intervals(a), intervals(b)
    for name in ("AP", "AP50", "oLRP"):
        widths = [ends[name][1] - ends[name][0] for ends in (paired, first, second)]
        assert widths[0] < widths[1] + widths[2]


@pytest.mark.parametrize("draws", [1, 2, 3])
def test_every_draw_is_a_step(files, draws):
    steps = []
    samples = bootstrap(files[:1], 60, draws, step=lambda: steps.append(1))
    assert len(steps) == draws
    assert all(ends is not None for ends in intervals(samples[0]).values())


@pytest.mark.slow
def test_coverage_of_samples_of_few_images():
    """Percentiles of images drawn with replacement hold oLRP_FP here in under a half."""
    found = coverage(
        SORTS["geometric"], 200, samples=30, draws=20, num_images=2_000, seed=1, per_population=15
    )
    assert found.outside == 0
    low = {name: share for name, share in found.held.items() if share < 0.8}
    assert not low
