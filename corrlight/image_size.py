"""The size of a picture as it is looked at: with the orientation in its EXIF data applied."""

from __future__ import annotations

from PIL import Image

__all__ = ["upright_size"]

_ORIENTATION_TAG = 0x0112


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return height and width of an opened picture after the rotation that its EXIF data asks for.

    Only the header is read, except of PNG files, whose orientation may come after the pixels.
    """
    turned = image.getexif().get(_ORIENTATION_TAG, 1) in (5, 6, 7, 8)
    return (image.width, image.height) if turned else (image.height, image.width)
