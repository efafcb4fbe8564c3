"""Parts of the pictures by class."""

from collections import Counter

import pytest

from corrlight.datasets.stratify import stratified


def test_every_class_has_its_share():
    classes = {
        f"{k}": {"common"} | ({"rare"} if k % 10 == 0 else set()) | ({"b"} if k % 3 == 0 else set())
        for k in range(200)
    } | {f"empty{k}": set() for k in range(50)}
    part = stratified(classes, [0.7, 0.2, 0.1], 0)
    assert part.keys() == classes.keys()
    for name, total in (("rare", 20), ("b", 67), ("common", 200)):
        counts = Counter(part[k] for k, found in classes.items() if name in found)
        assert [abs(counts[k] - s * total) <= 1 for k, s in enumerate([0.7, 0.2, 0.1])] == [
            True
        ] * 3
    counts = Counter(part.values())
    assert [counts[k] for k in range(3)] == [175, 50, 25]


def test_draws_depend_on_names_and_seed_alone():
    classes = {f"{k}": {"a"} for k in range(30)}
    first = stratified(classes, [0.8, 0.2], 0)
    assert stratified(dict(reversed(classes.items())), [0.8, 0.2], 0) == first
    assert stratified(classes, [0.8, 0.2], 1) != first
    # Typed from a run: the same on every machine and version.
    assert sorted((k for k, p in first.items() if p), key=int) == EXPECTED


EXPECTED = ["1", "8", "19", "20", "21", "22"]


def test_no_part_is_empty():
    part = stratified({"a": {"x"}, "b": {"x"}, "c": {"x"}}, [0.98, 0.01, 0.01], 0)
    assert sorted(part.values()) == [0, 1, 2]
    with pytest.raises(ValueError, match="at least 2 pictures"):
        stratified({"a": set()}, [0.5, 0.5], 0)
