import numpy as np
import pytest

from corrlight.analysis.half_samples import (
    ClassTable,
    crossed_values,
    difference_estimate,
    estimate,
)


def halves_of(observations, draws, rng, of=lambda x: x.mean()):
    """A measure of a list of observations of each class, and of halves of it."""
    values = np.array([of(x) for x in observations])
    rows = []
    for _ in range(draws // 2):
        pair = np.full((2, len(observations)), np.nan)
        for k, x in enumerate(observations):
            first = rng.random(len(x)) < 0.5
            for half, inside in enumerate((first, ~first)):
                if inside.any():
                    pair[half, k] = of(x[inside])
        rows.append(pair)
    images = np.array([len(x) for x in observations])
    return ClassTable(
        name="AP", values=values, halves=np.concatenate(rows), crossed=None, num_images=images
    )


def test_interval_of_a_mean_is_students():
    """Observations of one mean: two standard errors to either side."""
    rng = np.random.default_rng(0)
    x = rng.normal(0.5, 0.1, 400)
    found = estimate(halves_of([x], 2000, rng))
    error = x.std(ddof=1) / np.sqrt(len(x))
    assert found.value == pytest.approx(x.mean())
    assert (found.high - found.low) / 2 == pytest.approx(2 * error, rel=0.1)
    assert (found.high + found.low) / 2 == pytest.approx(x.mean(), abs=0.2 * error)


def test_bias_that_halves_show_is_taken_back():
    """Squared means are too large by variance / n: the interval is moved, the value is not."""
    rng = np.random.default_rng(1)
    held, moved = 0, []
    for _ in range(60):
        classes = [rng.normal(0.5, 0.6, 12) for _ in range(30)]
        found = estimate(halves_of(classes, 40, rng, of=lambda x: x.mean() ** 2))
        held += found.low <= 0.25 <= found.high
        moved.append((found.low + found.high) / 2 - found.value)
    assert held >= 52
    assert np.mean(moved) == pytest.approx(-0.36 / 12, rel=0.4)


@pytest.mark.parametrize("seed", range(30))
def test_the_value_is_inside_and_ends_are_possible(seed):
    rng = np.random.default_rng(seed)
    values = rng.random(6)
    values[rng.random(6) < 0.3] = np.nan
    values[0] = rng.random()
    halves = np.clip(values + rng.normal(0.2, 0.3, (10, 6)), 0, 1)
    halves[rng.random((10, 6)) < 0.3] = np.nan
    halves[:, 0] = rng.random(10)
    table = ClassTable(
        name="oLRP_FP",
        values=values,
        halves=halves,
        crossed=rng.random(6),
        num_images=rng.integers(1, 9, 6),
    )
    found = estimate(table)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.value == pytest.approx(np.nanmean(values))
    assert found == estimate(table)


def test_what_is_undefined_in_most_halves_has_no_interval():
    def table(values, halves):
        return ClassTable(
            name="AP",
            values=np.array(values),
            halves=np.array(halves),
            crossed=None,
            num_images=np.array([3]),
        )

    nan = np.nan
    assert estimate(table([nan], [[nan], [nan]])) is None
    assert estimate(table([0.5], [[0.5], [nan], [nan], [nan]])) is None
    assert estimate(table([0.5], [[0.5], [0.4], [nan], [nan]])) is not None


def test_missing_classes_widen_and_are_said():
    rng = np.random.default_rng(2)
    classes = [rng.normal(m, 0.1, n) for m, n in ((0.3, 40), (0.5, 30), (0.8, 1), (0.6, 20))]
    table = halves_of(classes, 40, rng)
    more = ClassTable(
        name="AP",
        values=np.append(table.values, [np.nan, np.nan]),
        halves=np.concatenate([table.halves, np.full((40, 2), np.nan)], 1),
        crossed=None,
        num_images=np.append(table.num_images, [0, 0]),
    )
    few, many = estimate(table), estimate(more)
    assert many.high - many.low > few.high - few.low
    assert few.thin == pytest.approx(1 / 4)
    assert many.thin == pytest.approx(3 / 6)
    # Classes that are listed and never occur are not missing where none is rare.
    common = ClassTable(
        name="AP", values=more.values, halves=more.halves, crossed=None,
        num_images=np.array([40, 30, 9, 20, 0, 0]),
    )  # fmt: skip
    assert estimate(common).thin == 0


def test_a_difference_is_paired_and_its_p_value_agrees_with_its_interval():
    rng = np.random.default_rng(3)
    for gain in (0.0, 0.01, 0.02, 0.03, 0.2):
        base = [rng.normal(0.5, 0.3, 50) for _ in range(8)]
        noise = [rng.normal(gain, 0.05, 50) for _ in range(8)]
        seed = int(rng.integers(1000))
        first = halves_of(base, 100, np.random.default_rng(seed))
        second = halves_of(
            [a + b for a, b in zip(base, noise, strict=True)], 100, np.random.default_rng(seed)
        )
        found = difference_estimate(first, second)
        assert found.low <= found.value <= found.high
        assert found.value == pytest.approx(second.values.mean() - first.values.mean())
        assert (found.p < 0.05) == (not found.low <= 0 <= found.high)
        assert found.high - found.low < estimate(first).high - estimate(first).low
    assert (found.class_p < 0.001).all()
    assert difference_estimate(first, first).p == 1


def test_crossed_values_are_the_formula_of_lrp():
    counts = np.array([[3.0, 1.0, 0.6, 5.0], [0, 0, 0, 2], [0, 0, 0, 0]])
    found = crossed_values({"all": counts, "small": counts})
    assert found["oLRP"][0] == pytest.approx((0.6 / 0.5 + 1 + 2) / (3 + 1 + 2))
    assert found["oLRP_small"][0] == found["oLRP"][0]
    assert found["oLRP_Loc"][0] == pytest.approx(0.2)
    assert found["oLRP_FP"][0] == pytest.approx(1 / 4)
    assert found["oLRP_FN"].tolist()[:2] == pytest.approx([2 / 5, 1])
    assert found["oLRP"][1] == 1
    assert np.isnan(found["oLRP_FP"][1])
    assert np.isnan(found["oLRP"][2])
