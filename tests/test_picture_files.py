import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from corrlight.picture_files import PICTURE_SUFFIXES, is_picture, upright_size


def test_pillow_writes_and_reads_every_kind():
    formats = Image.registered_extensions()
    for suffix in PICTURE_SUFFIXES:
        file = io.BytesIO()
        Image.new("RGB", (8, 8), (200, 10, 10)).save(file, formats[suffix])
        with Image.open(file) as picture:
            assert picture.size == (8, 8)


def test_names_decide():
    assert is_picture("a/b.TIFF")
    assert not is_picture("a.png/notes.txt")
    assert not is_picture("png")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_is_the_size_after_pillows_transposition(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (5, 3)).save(tmp_path / f"a{suffix}", exif=exif)
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert upright_size(image) == np.asarray(ImageOps.exif_transpose(image)).shape[:2]
