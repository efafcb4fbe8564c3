"""A part of the pictures that has its share of every class."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

__all__ = ["stratified"]


def stratified(
    classes: Mapping[str, Collection[str]], shares: Sequence[float], seed: int
) -> dict[str, int]:
    """Return which part every picture goes to.

    The rarest class is dealt out first, each of its pictures to the part that lacks most of that
    class; pictures without objects come last. Draws depend on the names and the seed alone, so they
    are the same on every machine.

    Source: Sechidis, Tsoumakas and Vlahavas, On the stratification of multi-label data (2011).

    Args:
        classes: The names of the classes in every picture, by the picture's name.
        shares: Of the parts; they add up to 1.
        seed: Of the draws.

    Raises:
        ValueError: There are fewer pictures than parts.
    """
    if len(classes) < len(shares):
        raise ValueError(
            f"Expected at least {len(shares)} pictures to split, but got {len(classes)}."
        )
    order = sorted(classes, key=lambda name: _draw(name, seed))
    left = Counter(c for name in order for c in set(classes[name]))
    members: dict[str, list[str]] = {c: [] for c in left}
    for name in order:
        for c in set(classes[name]):
            members[c].append(name)
    wanted = [{c: share * n for c, n in left.items()} for share in shares]
    room = [share * len(order) for share in shares]
    part: dict[str, int] = {}

    def deal(name: str, rare: str | None) -> None:
        part[name] = best = max(
            range(len(shares)), key=lambda k: (wanted[k][rare] if rare else 0.0, room[k])
        )
        room[best] -= 1
        for c in set(classes[name]):
            wanted[best][c] -= 1
            left[c] -= 1

    while any(left.values()):
        rare = min((c for c, n in left.items() if n), key=lambda c: (left[c], c))
        for name in members[rare]:
            if name not in part:
                deal(name, rare)
    for name in order:
        if name not in part:
            deal(name, None)
    for k in range(len(shares)):
        if k not in part.values():  # A small share of few pictures.
            counts = Counter(part.values())
            giver = counts.most_common(1)[0][0]
            part[next(name for name in order if part[name] == giver)] = k
    return part


def _draw(name: str, seed: int) -> tuple[str, str]:
    return hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogateescape")).hexdigest(), name
