"""PNG files, read back by Pillow."""

import io

import numpy as np
import pytest
from PIL import Image

from corrlight.predict.png import write_png


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (37, 64)])
def test_that_pillow_reads_every_pixel(tmp_path, size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)

    write_png(pixels, tmp_path / "a.png")

    with Image.open(tmp_path / "a.png") as picture:
        picture.verify()  # the checksums
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_that_parts_of_a_picture_are_written(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)

    write_png(pixels[3:9, 5:26], tmp_path / "a.png")

    with Image.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), pixels[3:9, 5:26])


def test_that_smooth_and_flat_pictures_become_no_larger_than_pillow_makes_them(tmp_path):
    small = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    smooth = Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC)
    for picture, factor in ((smooth, 1.3), (Image.new("RGB", (64, 64), (200, 10, 30)), 1.3)):
        write_png(np.asarray(picture), tmp_path / "a.png")
        pillow = io.BytesIO()
        picture.save(pillow, "PNG", compress_level=1)

        assert (tmp_path / "a.png").stat().st_size < factor * len(pillow.getvalue())
