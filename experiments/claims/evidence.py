"""Numbers over seeds, and what they say of a condition: it holds, fails or is undecided."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

__all__ = [
    "Evidence",
    "NotMeasuredError",
    "Sample",
    "all_of",
    "any_of",
    "at_least",
    "at_most",
]

# A number of seeds beyond which nobody will go.
MOST_SEEDS = 1_000


class NotMeasuredError(LookupError):
    """A number that a claim needs is not there."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a condition.

    Attributes:
        holds: None where the numbers leave it open.
        seeds: Where they do, how many seeds would decide it if mean and spread stayed as they are;
            None where that cannot be said (a single seed has no spread), infinity above 1,000.
    """

    holds: bool | None
    seeds: float | None = None

    def __bool__(self) -> bool:
        raise TypeError("Expected evidence to be joined by `all_of` and `any_of`, not by `and`.")

    def __str__(self) -> str:
        if self.holds is not None:
            return "holds" if self.holds else "fails"
        if self.seeds is None:
            return "undecided (one seed shows no spread)"
        if math.isinf(self.seeds):
            return f"undecided (more than {MOST_SEEDS:,} seeds)"
        return f"undecided (about {self.seeds:.0f} seeds)"


@dataclass(frozen=True, slots=True)
class Sample:
    """A number as each seed has it; sums and differences are taken seed by seed.

    ``a > b`` and its like give :class:`Evidence`: the 95% interval (Student's t) of the mean of
    the differences lies on one side of 0, or holds it.

    Attributes:
        values: By seed.
        exact: A printed number or a count: compared as it is.
    """

    values: tuple[tuple[int, float], ...]
    exact: bool = False

    @classmethod
    def of(cls, number: float) -> Sample:
        """Return a number without spread."""
        return cls(((0, number),), exact=True)

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(value for _, value in self.values)

    def __sub__(self, other: Sample | float) -> Sample:
        return self._with(other, lambda a, b: a - b)

    def __truediv__(self, other: Sample | float) -> Sample:
        return self._with(other, lambda a, b: a / b)

    def __add__(self, other: Sample | float) -> Sample:
        return self._with(other, lambda a, b: a + b)

    def __neg__(self) -> Sample:
        return Sample(tuple((seed, -value) for seed, value in self.values), self.exact)

    def __gt__(self, other: Sample | float) -> Evidence:
        return (self - other)._positive(strict=True)

    def __ge__(self, other: Sample | float) -> Evidence:
        return (self - other)._positive(strict=False)

    def __lt__(self, other: Sample | float) -> Evidence:
        return (-(self - other))._positive(strict=True)

    def __le__(self, other: Sample | float) -> Evidence:
        return (-(self - other))._positive(strict=False)

    def within(self, low: float, high: float) -> Evidence:
        """Return whether it lies between two numbers, both included."""
        return all_of([self >= low, self <= high])

    def _with(self, other: Sample | float, how: Callable[[float, float], float]) -> Sample:
        if not isinstance(other, Sample):
            other = Sample.of(float(other))
        if self.exact or other.exact:
            constant = self if self.exact else other
            ((_, number),) = constant.values
            if constant is other:
                values = tuple((seed, how(value, number)) for seed, value in self.values)
            else:
                values = tuple((seed, how(number, value)) for seed, value in other.values)
            return Sample(values, self.exact and other.exact)
        theirs = dict(other.values)
        values = tuple((s, how(value, theirs[s])) for s, value in self.values if s in theirs)
        if not values:
            raise NotMeasuredError("two rows have no seed in common")
        return Sample(values)

    def _positive(self, strict: bool) -> Evidence:
        if self.exact:
            # Printed with one digit: differences have no more.
            number = round(self.mean, 6)
            return Evidence(number > 0 if strict else number >= 0)
        if len(self.values) < 2:
            return Evidence(None)
        mean = self.mean
        deviation = statistics.stdev(value for _, value in self.values)
        if deviation <= 1e-12 * max(1.0, abs(mean)):
            number = round(mean, 6)
            return Evidence(number > 0 if strict else number >= 0)
        if abs(mean) > _half_width(deviation, len(self.values)):
            return Evidence(mean > 0)
        return Evidence(None, _seeds_needed(abs(mean), deviation, len(self.values)))


def all_of(conditions: Iterable[Evidence]) -> Evidence:
    """Return the evidence that all conditions hold: one that fails is enough against it."""
    found = list(conditions)
    if any(e.holds is False for e in found):
        return Evidence(False)
    still_open = [e for e in found if e.holds is None]
    return Evidence(None, _most(still_open)) if still_open else Evidence(True)


def any_of(conditions: Iterable[Evidence]) -> Evidence:
    """Return the evidence that at least one condition holds."""
    return at_least(1, list(conditions))


def at_least(count: int, conditions: Sequence[Evidence]) -> Evidence:
    """Return the evidence that at least so many conditions hold."""
    sure = sum(e.holds is True for e in conditions)
    still_open = [e for e in conditions if e.holds is None]
    if sure >= count:
        return Evidence(True)
    if sure + len(still_open) < count:
        return Evidence(False)
    return Evidence(None, _most(still_open))


def at_most(count: int, conditions: Sequence[Evidence]) -> Evidence:
    """Return the evidence that at most so many conditions hold."""
    found = at_least(count + 1, conditions)
    return Evidence(None if found.holds is None else not found.holds, found.seeds)


def _most(still_open: Sequence[Evidence]) -> float | None:
    known = [e.seeds for e in still_open]
    return None if None in known else max(s for s in known if s is not None)


def _half_width(deviation: float, count: int) -> float:
    return float(stdtrit(count - 1, 0.975)) * deviation / math.sqrt(count)


def _seeds_needed(distance: float, deviation: float, count: int) -> float:
    for seeds in range(count + 1, MOST_SEEDS + 1):
        if _half_width(deviation, seeds) < distance:
            return seeds
    return math.inf
