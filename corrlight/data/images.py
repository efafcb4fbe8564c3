"""Image files: decoded to RGB, and checked before a training starts."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from corrlight.data.wide_colors import wide_colors
from corrlight.picture_files import upright_size

__all__ = [
    "BadImageError",
    "CheckImages",
    "FaultKind",
    "PictureFault",
    "decode_image",
    "decode_upright",
    "image_problems",
    "is_sound",
    "picture_faults",
    "range_notes",
    "rgb_pixels",
]

Array = npt.NDArray[Any]
Size = tuple[int, int]
CheckImages = Literal["quick", "decode", "none"]
FaultKind = Literal["missing", "damaged", "size"]
# Kind, text, and the size of a file of another one than annotated.
_Fault = tuple[FaultKind, str, Size | None]

# What Pillow raises on damaged files, by format and place of the damage.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)
# Bits of a sample and the largest value that occurs, in a TIFF's header.
_BITS_TAG, _MAXIMUM_TAGS = 258, (341, 281)
# Deep pictures that are decoded before a start to see how much of their range they use.
_NUM_SAMPLED = 8
# How a complete file ends; one that ends otherwise is decoded to find out.
_ENDINGS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}
_PNG_START = b"\x89PNG\r\n\x1a\n"
# Markers of a JPEG's frame header, which has the size; the three others of that row are tables.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Without O_NONBLOCK, opening a pipe would wait.
_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
# Bytes that are read of a file's begin, and files that a thread looks at in a row.
_HEAD, _PIECE = 8192, 256


class BadImageError(ValueError):
    """A picture that is missing, damaged or of another size; the message names its file."""


def decode_image(path: Path, size: Size, bit_depth: int | None = None) -> Array:
    """Return the ``(H, W, 3)`` uint8 RGB pixels of a file.

    Grey, palette, CMYK and 16-bit images become 8-bit RGB; an alpha channel is left out. Of more
    than 8 bits, the range that becomes 0..255 is ``bit_depth`` bits, else what a TIFF's header
    says (12 bits a sample, or its largest value), else 16 bits. The
    orientation in the EXIF data is applied unless only the stored orientation has the annotated
    size, so that boxes and pixels agree.

    Args:
        path: The file.
        size: Its annotated height and width.
        bit_depth: Bits that the values of images of more than 8 bits really use.

    Raises:
        BadImageError: If the file is missing, damaged or of another size; it names the file.
    """
    if not path.is_file():
        raise BadImageError(f"Expected an image at {path}, but there is no such file.")
    try:
        pixels = _decoded(path, size, bit_depth)
    except _DECODE_ERRORS as error:
        raise BadImageError(
            f"Expected {path} to be a complete image, but {_reason(error)}."
        ) from None
    if isinstance(pixels, tuple) or pixels.shape[:2] != tuple(size):
        found = pixels if isinstance(pixels, tuple) else pixels.shape
        raise BadImageError(
            f"Expected {path} to have the annotated size {size[1]}x{size[0]}, "
            f"but got {found[1]}x{found[0]}."
        )
    return pixels


def decode_upright(path: Path, bit_depth: int | None = None) -> Array:
    """Return the ``(H, W, 3)`` uint8 RGB pixels of a file whose size nobody annotated.

    As :func:`decode_image`, with the orientation in the EXIF data always applied.

    Args:
        path: The file.
        bit_depth: Bits that the values of images of more than 8 bits really use.

    Raises:
        BadImageError: If the file is missing or damaged; it names the file.
    """
    if not path.is_file():
        raise BadImageError(f"Expected an image at {path}, but there is no such file.")
    try:
        with Image.open(path) as image:
            return rgb_pixels(image, bit_depth)
    except _DECODE_ERRORS as error:
        raise BadImageError(
            f"Expected {path} to be a complete image, but {_reason(error)}."
        ) from None


def rgb_pixels(image: Image.Image, bit_depth: int | None = None) -> Array:
    """Return the ``(H, W, 3)`` uint8 RGB pixels of an opened image, upright.

    Args:
        image: Of any mode but floating-point numbers.
        bit_depth: As for :func:`decode_upright`.

    Raises:
        ValueError: If its pixels are floating-point numbers.
    """
    largest = _largest_value(image, bit_depth)
    _load(image, largest)
    return np.asarray(_to_rgb(ImageOps.exif_transpose(image), largest))


def _decoded(path: Path, size: Size, bit_depth: int | None = None) -> Array | Size:
    """Return the pixels; of a file that cannot have ``size``, what its header says instead."""
    with Image.open(path) as image:
        stored = (image.height, image.width)
        if not _may_have(stored, size):
            return stored
        largest = _largest_value(image, bit_depth)
        _load(image, largest)
        return np.asarray(_to_rgb(_upright(image, size), largest))


def _may_have(stored: Size, size: Size) -> bool:
    """Return whether a file has a size as it is stored or turned by a quarter."""
    return tuple(size) in (stored, stored[::-1])


def range_notes(folder: Path, names: Sequence[str], bit_depth: int | None = None) -> list[str]:
    """Return one line for each of some deep pictures that would come out nearly black or burnt.

    Args:
        folder: Image folder.
        names: Files relative to it, which can be opened.
        bit_depth: As for :func:`decode_image`.
    """
    deep = [
        name for name in names if name.lower().endswith((".png", ".tif", ".tiff", ".jp2", ".pgm"))
    ]
    notes = []
    for name in deep[:: max(1, len(deep) // _NUM_SAMPLED)][:_NUM_SAMPLED]:
        try:
            with Image.open(folder / name) as image:
                largest = _largest_value(image, bit_depth)
                values = np.asarray(image) if image.mode.startswith("I") else wide_colors(image)
        except _DECODE_ERRORS:  # Whoever needs its pixels names it, or leaves it out.
            continue
        if values is None:
            continue
        top = int(values.max())
        if top * 10 < largest:
            notes.append(f"{name} uses {top:,} of {largest:,} values, less than a tenth")
        elif top > largest:
            notes.append(f"{name} reaches {top:,}, beyond its {largest:,} values")
    return notes


def _largest_value(image: Image.Image, bit_depth: int | None) -> int:
    """Return the value of an image of more than 8 bits that becomes 255."""
    if bit_depth is not None:
        return 2**bit_depth - 1
    # Other formats scale to 16 bits themselves, or cannot say.
    tags = getattr(image, "tag_v2", None) or {}
    bits = int(np.max(tags.get(_BITS_TAG, 16)))
    for tag in _MAXIMUM_TAGS:
        stated = int(np.max(tags.get(tag, 0)))
        if 0 < stated < 2 ** min(bits, 32) - 1:
            return stated
    return 2 ** min(bits, 16) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFault:
    """What is wrong with an image file.

    Attributes:
        index: Its place in the list of files.
        kind: What it is.
        text: The same as a line that names the file.
        found: Height and width of a file of another size than annotated.
    """

    index: int
    kind: FaultKind
    text: str
    found: Size | None = None


def image_problems(
    folder: Path, names: Sequence[str], sizes: Sequence[Size], check: CheckImages = "quick"
) -> list[str]:
    """Return what is wrong with image files, one line each.

    Args:
        folder: Image folder.
        names: Files relative to it.
        sizes: Annotated heights and widths.
        check: "quick" looks at existence, header, size and the end of each file and decodes only
            files that do not end as their format does; "decode" decodes all; "none" looks at
            nothing.
    """
    return [fault.text for fault in picture_faults(folder, names, sizes, check)]


def picture_faults(
    folder: Path, names: Sequence[str], sizes: Sequence[Size | None], check: CheckImages = "quick"
) -> list[PictureFault]:
    """Return what is wrong with image files.

    Args:
        folder: Image folder.
        names: Files relative to it.
        sizes: Annotated heights and widths; None where any is right.
        check: As for :func:`image_problems`.
    """
    if check == "none":
        return []
    look = _quick_fault if check == "quick" else _decode_fault
    base = str(folder)

    def look_at(start: int) -> list[PictureFault]:
        jobs = zip(names[start : start + _PIECE], sizes[start : start + _PIECE], strict=True)
        found = []
        for k, (name, size) in enumerate(jobs, start):
            path = os.path.join(base, name)
            if check == "decode" or size is None or not is_sound(path, size):
                fault = look(Path(path), size)
                if fault:
                    found.append(
                        PictureFault(index=k, kind=fault[0], text=fault[1], found=fault[2])
                    )
        return found

    # Threads hide the latency of network disks.
    with ThreadPoolExecutor(8) as pool:
        pieces = pool.map(look_at, range(0, len(names), _PIECE))
        return [fault for piece in pieces for fault in piece]


def is_sound(path: str, size: Size) -> bool:
    """Return whether a PNG or JPEG file has a size by its header and ends as its format does.

    False says nothing: the file is then looked at more slowly, by Pillow.
    """
    # Calls of the system: with Path or open, most of the time would be Python's.
    try:
        file = os.open(path, _OPEN)
    except (OSError, ValueError):
        return False
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return False
        head = os.read(file, _HEAD)
        kind = "PNG" if head.startswith(_PNG_START) else "JPEG"
        found = _png_size(head) if kind == "PNG" else _jpeg_size(head)
        if found != size or size[0] * size[1] > (Image.MAX_IMAGE_PIXELS or 0):
            return False
        ending = _ENDINGS[kind]
        if status.st_size <= len(head):
            return head.endswith(ending)
        os.lseek(file, -len(ending), os.SEEK_END)
        return os.read(file, len(ending)) == ending
    except OSError:
        return False
    finally:
        os.close(file)


def _png_size(head: bytes) -> Size | None:
    # The first chunk is the header, with a checksum behind it.
    if len(head) < 33 or head[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", head, 16)
    return (height, width) if zlib.crc32(head[12:29]) == int.from_bytes(head[29:33]) else None


def _jpeg_size(head: bytes) -> Size | None:
    at = 2
    if head[:2] != b"\xff\xd8":
        return None
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4])
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return height, width
        if not 0xC0 <= marker <= 0xFE or marker in range(0xD0, 0xDA):
            return None
        at += 2 + length
    return None


def _decode_fault(path: Path, size: Size | None) -> _Fault | None:
    if not path.is_file():
        return "missing", f"image {path} is missing", None
    try:
        if size is None:
            with Image.open(path) as image:
                image.load()
            return None
        pixels = _decoded(path, size)
    except _DECODE_ERRORS as error:
        return "damaged", f"image {path} is damaged: {_reason(error)}", None
    found = pixels if isinstance(pixels, tuple) else (pixels.shape[0], pixels.shape[1])
    return None if found == tuple(size) else _size_fault(path, found, size)


def _size_fault(path: Path, found: Size, annotated: Size) -> _Fault:
    text = f"image {path} is {found[1]}x{found[0]}, but annotated as {annotated[1]}x{annotated[0]}"
    return "size", text, found


def _quick_fault(path: Path, size: Size | None) -> _Fault | None:
    if not path.is_file():
        return "missing", f"image {path} is missing", None
    try:
        with Image.open(path) as image:
            # The cheap tests first: reading the orientation decodes a whole PNG.
            stored = (image.height, image.width)
            if (
                size is not None
                and stored != tuple(size)
                and (not _may_have(stored, size) or upright_size(image) != tuple(size))
            ):
                return _size_fault(path, stored, size)
            ending = _ENDINGS.get(image.format or "")
        if ending is not None:
            with path.open("rb") as file:
                file.seek(-len(ending), 2)
                if file.read() == ending:
                    return None
    except _DECODE_ERRORS as error:
        return "damaged", f"image {path} is damaged: {_reason(error)}", None
    return _decode_fault(path, size)


def _load(image: Image.Image, largest: int) -> None:
    """Load an opened image; of colours of 16 bits each, ``largest`` becomes 255."""
    colors = wide_colors(image) if largest < 2**16 - 1 else None
    image.load()
    if colors is not None:
        # What the file says of its orientation stays with the image.
        image.paste(Image.fromarray(_to_8_bits(colors, largest)))


def _to_8_bits(values: Array, largest: int) -> Array:
    wide = np.clip(values.astype(np.int64), 0, largest)
    return (wide * 256 // (largest + 1)).astype(np.uint8)


def _reason(error: Exception) -> str:
    # Pillow repeats the path, and some of its messages are empty.
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is no image"
    return str(error).replace("\n", " ").rstrip(".") or type(error).__name__


def _upright(image: Image.Image, size: Size) -> Image.Image:
    if upright_size(image) != tuple(size) and (image.height, image.width) == tuple(size):
        return image
    return ImageOps.exif_transpose(image)


def _to_rgb(image: Image.Image, largest: int) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):
        # More than 8 bits: Pillow would clip instead of scale.
        return Image.fromarray(_to_8_bits(np.asarray(image), largest)).convert("RGB")
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    # By way of RGBA, a palette with transparency keeps its colours.
    return (
        image.convert("RGBA").convert("RGB") if image.mode in ("P", "PA") else image.convert("RGB")
    )
