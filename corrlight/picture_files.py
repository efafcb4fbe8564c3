"""Which files are pictures, by their names, and how large they are as they are looked at."""

from __future__ import annotations

from PIL import Image

__all__ = ["PICTURE_SUFFIXES", "is_picture", "upright_size"]

_ORIENTATION_TAG = 0x0112

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


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return height and width of an opened picture after the rotation that its EXIF data asks for.

    Only the header is read, except of PNG files, whose orientation may come after the pixels.
    """
    turned = image.getexif().get(_ORIENTATION_TAG, 1) in (5, 6, 7, 8)
    return (image.width, image.height) if turned else (image.height, image.width)
