"""PNG and TIFF files of 16 bits a colour, written byte by byte: Pillow writes none."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from corrlight.data.images import decode_image, decode_upright, range_notes
from corrlight.data.wide_colors import wide_colors

SIZE = (5, 7)


@pytest.fixture
def values():
    """Colours of 12 bits."""
    return np.random.default_rng(0).integers(0, 4096, (*SIZE, 3)).astype(np.uint16)


def write_png(path, values):
    height, width, channels = values.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    chunks = [
        (b"IHDR", struct.pack(">2I5B", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def write_tiff(path, values, order="<", tags=()):
    height, width, _ = values.shape
    # Bits a sample lie behind the directory, which has so many entries of 12 bytes.
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, None), (259, 3, 1, 1)]
    entries += [(262, 3, 1, 2), (273, 4, 1, None), (277, 3, 1, 3), (278, 3, 1, height)]
    entries += [(279, 4, 1, values.size * 2), *tags]
    bits = 8 + 2 + 12 * len(entries) + 4
    places = {258: bits, 273: bits + 6}
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in sorted(entries):
        code = "I" if kind == 4 or tag in places else "Hxx"
        number = places.get(tag, value)
        directory += struct.pack(f"{order}HHI{code}", tag, kind, count, number)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    pixels = values.astype(f"{order}u2").tobytes()
    path.write_bytes(head + directory + bytes(4) + struct.pack(f"{order}3H", 16, 16, 16) + pixels)
    return path


@pytest.mark.parametrize("kind", ["png", "png with alpha", "tiff", "tiff of the other order"])
def test_values_are_those_of_the_file(tmp_path, values, kind):
    if kind.startswith("png"):
        alpha = np.full((*SIZE, 1), 65535, np.uint16)
        written = np.concatenate([values, alpha], -1) if "alpha" in kind else values
        path = write_png(tmp_path / "a.png", written)
    else:
        path = write_tiff(tmp_path / "a.tiff", values, ">" if "other" in kind else "<")
    with Image.open(path) as image:
        assert np.array_equal(wide_colors(image), values)
    # Of 12 bits, the upper eight are seen; Pillow's own are the upper four.
    for seen in (decode_image(path, SIZE, 12), decode_upright(path, 12)):
        assert np.array_equal(seen, values // 16)
    assert np.array_equal(decode_image(path, SIZE), values // 256)


def test_the_largest_value_that_a_header_states_is_taken(tmp_path, values):
    path = write_tiff(tmp_path / "a.tiff", values, tags=[(281, 3, 1, 4095)])
    assert np.array_equal(decode_image(path, SIZE), values // 16)


def test_a_range_that_is_hardly_used_is_said(tmp_path, values):
    write_png(tmp_path / "a.png", values)
    (note,) = range_notes(tmp_path, ["a.png"])
    assert f"a.png uses {values.max():,} of 65,535 values, less than a tenth" in note
    assert range_notes(tmp_path, ["a.png"], 12) == []
    write_png(tmp_path / "b.png", values * 16)
    assert range_notes(tmp_path, ["b.png"]) == []


def test_colours_of_8_bits_have_no_more(tmp_path, values):
    Image.fromarray(values.astype(np.uint8)).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert wide_colors(image) is None
    assert wide_colors(Image.fromarray(values.astype(np.uint8))) is None


def test_damage_is_left_to_who_needs_the_pixels(tmp_path, values):
    path = write_png(tmp_path / "a.png", values)
    path.write_bytes(path.read_bytes()[:60] + path.read_bytes()[-12:])
    assert range_notes(tmp_path, ["a.png"]) == []
