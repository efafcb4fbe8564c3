"""Height and width of a picture as it is looked at."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from corrlight.image_size import upright_size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_is_the_size_after_pillows_transposition(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (5, 3)).save(tmp_path / f"a{suffix}", exif=exif)
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert upright_size(image) == np.asarray(ImageOps.exif_transpose(image)).shape[:2]
