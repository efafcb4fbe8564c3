"""The size that a network sees a picture at."""

from __future__ import annotations

__all__ = ["LONG", "SHORT", "fitted", "resized"]

# Bounds of the shorter and the longer side where none are given.
SHORT, LONG = 800, 1333


def resized(size: tuple[int, int], short: int, long: int) -> tuple[int, int]:
    """Return height and width as large as fits between a short and a long side.

    As published, the factor is ``min(long / longer side, short / shorter side)`` and a new side
    ``int(side * factor + 0.5)``, at least 1.
    """
    factor = min(long / max(size), short / min(size))
    # A picture of 9000x2 pixels keeps one line.
    return max(1, int(size[0] * factor + 0.5)), max(1, int(size[1] * factor + 0.5))


def fitted(
    size: tuple[int, int], side: int | None = None, short: int = SHORT, long: int = LONG
) -> tuple[int, int]:
    """Return height and width with a given longer side, or shrunk if they are too large.

    Args:
        size: Height and width of the picture.
        side: Longer side in pixels, for small pictures and large ones; None enlarges nothing.
        short: Bound of the shorter side without ``side``.
        long: Bound of the longer side without ``side``.
    """
    if side is not None:
        return resized(size, side, side)
    if max(size) <= long and min(size) <= short:
        return size
    return resized(size, short, long)
