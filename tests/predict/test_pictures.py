import numpy as np
import pytest
import torch
from PIL import Image

from corrlight.data.images import decode_image
from corrlight.predict.pictures import as_sample, read_pixels


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_files_are_turned_as_in_training(tmp_path, pixels, orientation):
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    found = read_pixels(tmp_path / "a.png")
    # The annotated size of a training picture is the upright one.
    assert np.array_equal(found, decode_image(tmp_path / "a.png", found.shape[:2]))
    assert found.shape[:2] == ((20, 30) if orientation < 5 else (30, 20))
    with Image.open(tmp_path / "a.png") as opened:
        assert np.array_equal(read_pixels(opened), found)


def test_modes_of_pillow(pixels):
    grey = Image.fromarray(pixels[..., 0])
    assert np.array_equal(read_pixels(grey), np.repeat(pixels[..., :1], 3, 2))
    deep = Image.fromarray(pixels[..., 0].astype(np.uint16) << 4)
    assert np.array_equal(read_pixels(deep, bit_depth=12), np.repeat(pixels[..., :1], 3, 2))


def test_grey_arrays(pixels):
    assert np.array_equal(read_pixels(pixels[..., 0]), np.repeat(pixels[..., :1], 3, 2))


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((4, 4, 3)), "float64 of shape"),
        (np.zeros((3, 4, 4), np.uint8), "shape \\(3, 4, 4\\)"),
        (np.zeros((0, 4, 3), np.uint8), "shape \\(0, 4, 3\\)"),
        (torch.zeros(4, 4, 3), "float32 of shape \\(4, 4, 3\\)"),
        (torch.full((3, 4, 4), 200.0), "from 200 to 200"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "int64"),
        (7, "but got int"),
    ],
)
def test_what_is_no_picture_is_named(picture, said):
    with pytest.raises(ValueError, match=said):
        read_pixels(picture)


def test_a_sample_has_no_objects(pixels):
    sample = as_sample(pixels)
    assert sample.image.shape == (3, 20, 30)
    assert sample.original_size == (20, 30)
    assert len(sample.boxes) == len(sample.labels) == 0


@pytest.mark.filterwarnings("error")
def test_pixels_that_cannot_be_written_to_are_copied():
    pixels = np.zeros((1, 1, 3), np.uint8)  # of this size, both orders of axes are one
    pixels.flags.writeable = False
    as_sample(pixels).image.add_(1)
    assert pixels.max() == 0
