"""The five objects of every random image, for us and for a peer that has no corrlight beside it."""

from __future__ import annotations

__all__ = ["LABELS", "SIZE", "boxes_in"]

# Height and width of the images, where no other size is asked for.
SIZE = (256, 320)

# Left, top, right, bottom in pixels of an image of that size.
_BOXES = [
    [10.3, 12.7, 98.9, 120.2],
    [60.5, 30.1, 250.8, 218.4],
    [200.2, 5.5, 262.7, 66.9],
    [20.6, 180.3, 54.4, 214.8],
    [150.0, 100.0, 310.0, 250.0],
]
LABELS = [0, 17, 3, 56, 2]


def boxes_in(size: tuple[int, int]) -> list[list[float]]:
    """Return the five boxes, xyxy in pixels of an image of ``size``: they grow with it."""
    scales = [size[1] / SIZE[1], size[0] / SIZE[0]] * 2
    return [[side * scale for side, scale in zip(box, scales, strict=True)] for box in _BOXES]
