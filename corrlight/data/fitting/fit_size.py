"""The size that own pictures are trained and measured at."""

from __future__ import annotations

from corrlight.data.fitting.input_size import LONG, SHORT, fitted
from corrlight.data.transforms import Resize, Size

__all__ = ["FitSize"]


class FitSize(Resize):
    """Resize to a given longer side, or shrink what is too large and leave the rest as it is.

    Args:
        size: Longer side in pixels, for small pictures and large ones; None enlarges nothing.
        short: Bound of the shorter side without ``size``.
        long: Bound of the longer side without ``size``.
        antialias: Whether to smooth when shrinking.

    Raises:
        ValueError: If a side is not a positive int or ``short`` exceeds ``long``.
    """

    def __init__(
        self,
        size: int | None = None,
        short: int = SHORT,
        long: int = LONG,
        antialias: bool = False,
    ) -> None:
        if size is not None and (type(size) is not int or size < 1):
            raise ValueError(f"Expected `size` to be an int of at least 1, but got {size!r}.")
        super().__init__(size or short, size or long, antialias)
        self.size = size

    def new_size(self, size: Size, short: int) -> Size:
        """Return height and width after resizing an image of ``size``."""
        return fitted(size, self.size, short, self.long)
