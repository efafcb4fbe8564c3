"""Which files are pictures, by their names."""

from __future__ import annotations

__all__ = ["PICTURE_SUFFIXES", "is_picture"]

# What Pillow reads without a package of its own; what else lies beside pictures is none of them:
# notes, previews of a file manager, caches.
PICTURE_SUFFIXES = (
    ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".pnm",
    ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip


def is_picture(name: str) -> bool:
    """Return whether a file is a picture by its name or path.

    >>> is_picture("shots/A.JPG"), is_picture("notes.txt")
    (True, False)
    """
    return name.lower().endswith(PICTURE_SUFFIXES)
