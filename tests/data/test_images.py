import io
import os

import numpy as np
import pytest
from PIL import Image

from corrlight.data.images import (
    decode_image,
    decode_upright,
    image_problems,
    is_sound,
    picture_faults,
    range_notes,
)

SIZE = (24, 40)


@pytest.fixture
def pixels():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([5 * x, 9 * y, 3 * (x + y)], -1).astype(np.uint8)


def save(path, image, **options):
    image.save(path, **options)
    return path


def test_rgb_png_is_exact(tmp_path, pixels):
    path = save(tmp_path / "a.png", Image.fromarray(pixels))
    assert np.array_equal(decode_image(path, SIZE), pixels)


def test_alpha_is_left_out(tmp_path, pixels):
    image = Image.fromarray(pixels)
    image.putalpha(Image.new("L", image.size, 0))
    assert np.array_equal(decode_image(save(tmp_path / "a.png", image), SIZE), pixels)


def test_grey(tmp_path, pixels):
    path = save(tmp_path / "a.png", Image.fromarray(pixels[..., 0]))
    assert np.array_equal(decode_image(path, SIZE), np.repeat(pixels[..., :1], 3, 2))


def test_16_bit_grey_is_scaled(tmp_path, pixels):
    wide = pixels[..., 0].astype(np.uint16) * 256 + 17
    path = save(tmp_path / "a.png", Image.fromarray(wide))
    assert np.array_equal(decode_image(path, SIZE), np.repeat(pixels[..., :1], 3, 2))


def test_palette(tmp_path, pixels):
    image = Image.fromarray(pixels).quantize(16)
    path = save(tmp_path / "a.png", image, transparency=0)
    assert np.array_equal(decode_image(path, SIZE), np.asarray(image.convert("RGB")))


def test_cmyk_jpeg(tmp_path, pixels):
    path = save(tmp_path / "a.jpg", Image.fromarray(pixels).convert("CMYK"), quality=95)
    assert np.abs(decode_image(path, SIZE).astype(int) - pixels).mean() < 6


def test_floating_point_pixels(tmp_path, pixels):
    path = save(tmp_path / "a.tiff", Image.fromarray(pixels[..., 0].astype(np.float32)))
    with pytest.raises(
        ValueError, match=r"a\.tiff to be a complete image, but its pixels are float"
    ):
        decode_image(path, SIZE)


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_orientation_is_applied_when_the_annotation_is_upright(
    tmp_path, pixels, orientation, suffix
):
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # inverse Pillow transpositions
    image = Image.fromarray(pixels)
    if orientation in back:
        image = image.transpose(Image.Transpose(back[orientation]))
    path = save(tmp_path / f"a.{suffix}", image, exif=exif(orientation), quality=95)
    decoded = decode_image(path, SIZE).astype(int)
    assert np.abs(decoded - pixels).mean() < (0.01 if suffix == "png" else 6)
    assert image_problems(tmp_path, [path.name], [SIZE]) == []


def test_orientation_is_ignored_when_the_annotation_is_of_the_stored_pixels(tmp_path, pixels):
    path = save(tmp_path / "a.png", Image.fromarray(pixels), exif=exif(6))
    assert np.array_equal(decode_image(path, SIZE), pixels)
    assert decode_image(path, SIZE[::-1]).shape == (*SIZE[::-1], 3)
    assert image_problems(tmp_path, ["a.png"], [SIZE]) == []


def encoded(image, kind):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
@pytest.mark.parametrize("check", ["quick", "decode"])
def test_truncated_files_are_found_before_training(tmp_path, kind, check):
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    (tmp_path / "whole").write_bytes(data)
    assert image_problems(tmp_path, ["whole"], [SIZE], check) == []
    for k, share in enumerate((0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95)):
        name = f"cut{k}"
        (tmp_path / name).write_bytes(data[: int(share * len(data))])
        (problem,) = image_problems(tmp_path, [name], [SIZE], check)
        assert str(tmp_path / name) in problem
        assert "\n" not in problem
        with pytest.raises(ValueError, match=name):
            decode_image(tmp_path / name, SIZE)


def test_bytes_after_the_image_do_not_matter(tmp_path, pixels):
    data = encoded(Image.fromarray(pixels), "JPEG") + b"trailing"
    (tmp_path / "a.jpg").write_bytes(data)
    assert image_problems(tmp_path, ["a.jpg"], [SIZE]) == []


def test_problems_name_the_file(tmp_path, pixels):
    save(tmp_path / "good.png", Image.fromarray(pixels))
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    names = ["good.png", "good.png", "text.jpg", "loop.png", "pipe.png", "none.png"]
    sizes = [SIZE, (24, 41), SIZE, SIZE, SIZE, SIZE]
    assert image_problems(tmp_path, names, sizes) == [
        f"image {tmp_path / 'good.png'} is 40x24, but annotated as 41x24",
        f"image {tmp_path / 'text.jpg'} is damaged: it is no image",
        f"image {tmp_path / 'loop.png'} is missing",
        f"image {tmp_path / 'pipe.png'} is missing",
        f"image {tmp_path / 'none.png'} is missing",
    ]
    assert image_problems(tmp_path, names, sizes, "none") == []


def test_missing_file_and_wrong_size_when_decoding(tmp_path, pixels):
    with pytest.raises(ValueError) as caught:
        decode_image(tmp_path / "x.png", SIZE)
    message = f"Expected an image at {tmp_path / 'x.png'}, but there is no such file."
    assert str(caught.value) == message
    path = save(tmp_path / "a.png", Image.fromarray(pixels))
    with pytest.raises(ValueError) as caught:
        decode_image(path, (30, 40))
    assert str(caught.value) == f"Expected {path} to have the annotated size 40x30, but got 40x24."


def test_decompression_bomb_is_refused_without_decoding(tmp_path, monkeypatch, pixels):
    path = save(tmp_path / "bomb.png", Image.fromarray(pixels))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    (problem,) = image_problems(tmp_path, ["bomb.png"], [SIZE])
    assert problem.startswith(f"image {path} is damaged: Image size (960 pixels) exceeds limit")


def test_bits_that_the_header_of_a_tiff_states(tmp_path, pixels):
    grey = pixels[..., 0].astype(np.uint16)
    path = tmp_path / "a.tiff"
    # Tag 281 is the largest value that occurs: 12 bits in 16.
    Image.fromarray(grey * 16 + 5).save(path, tiffinfo={281: 4095})
    assert np.array_equal(decode_image(path, SIZE), np.repeat(pixels[..., :1], 3, 2))
    assert range_notes(tmp_path, ["a.tiff"]) == []


@pytest.mark.parametrize(
    ("name", "kind", "factor", "bits"),
    [("a.png", np.uint16, 16, 12), ("a.tiff", np.uint16, 4, 10), ("b.tiff", np.int32, 1, 8)],
)
def test_bits_that_an_option_states(tmp_path, pixels, name, kind, factor, bits):
    path = save(tmp_path / name, Image.fromarray(pixels[..., 0].astype(kind) * factor))
    (note,) = range_notes(tmp_path, [name])
    assert "of 65,535 values, less than a tenth" in note
    assert range_notes(tmp_path, [name], bits) == []
    seen = decode_image(path, SIZE, bits)
    assert np.array_equal(seen, np.repeat(pixels[..., :1], 3, 2))
    assert decode_image(path, SIZE).max() < 26  # Without it, nearly black.


def test_values_beyond_the_stated_bits_are_said(tmp_path, pixels):
    save(tmp_path / "a.png", Image.fromarray(pixels[..., 0].astype(np.uint16) * 64))
    (note,) = range_notes(tmp_path, ["a.png"], 10)
    assert "beyond its 1,023 values" in note


def test_pictures_of_8_bits_have_no_range_to_look_at(tmp_path, pixels):
    save(tmp_path / "a.png", Image.fromarray(pixels // 30))
    assert range_notes(tmp_path, ["a.png"]) == []


@pytest.mark.parametrize("check", ["quick", "decode"])
def test_a_picture_of_another_size_is_not_decoded(tmp_path, monkeypatch, check):
    save(tmp_path / "a.png", Image.new("L", (3000, 2000)))

    def load(self):
        raise AssertionError("A picture that cannot have its annotated size was decoded.")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    (problem,) = image_problems(tmp_path, ["a.png"], [SIZE], check)
    assert "is 3000x2000, but annotated as 40x24" in problem
    with pytest.raises(ValueError, match="annotated size 40x24, but got 3000x2000"):
        decode_image(tmp_path / "a.png", SIZE)


@pytest.mark.parametrize("size", [SIZE, (700, 900)])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.jpg", {}),
        ("a.jpg", {"progressive": True}),
        ("a.jpg", {"comment": b"c" * 5000}),
    ],
)
def test_the_short_look_says_what_pillow_does(tmp_path, name, options, size):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    path = save(tmp_path / name, Image.fromarray(noise), **options)
    assert is_sound(str(path), size)
    assert not is_sound(str(path), (size[0], size[1] + 1))
    data = path.read_bytes()
    for cut in (0, 1, 20, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        assert not is_sound(str(path), size)
    # A header with another size does not agree with its checksum (PNG) or the annotation (JPEG).
    at = data.index(size[0].to_bytes(2, "big"))
    path.write_bytes(data[:at] + (size[0] + 1).to_bytes(2, "big") + data[at + 2 :])
    assert not is_sound(str(path), size)


def test_a_long_exif_block_is_left_to_pillow(tmp_path, pixels):
    exif = Image.Exif()
    exif[0x010E] = "x" * 20_000
    path = save(tmp_path / "a.jpg", Image.fromarray(pixels), exif=exif)
    assert not is_sound(str(path), SIZE)
    assert image_problems(tmp_path, ["a.jpg"], [SIZE]) == []


def test_faults_have_place_kind_and_size(tmp_path, pixels):
    names = [f"{k}.png" for k in range(600)]
    for name in names:
        save(tmp_path / name, Image.fromarray(pixels))
    (tmp_path / "3.png").unlink()
    (tmp_path / "300.png").write_bytes(b"no picture")
    save(tmp_path / "599.png", Image.fromarray(pixels[:10]))
    found = picture_faults(tmp_path, names, [SIZE] * 600)
    assert [(f.index, f.kind, f.found) for f in found] == [
        (3, "missing", None),
        (300, "damaged", None),
        (599, "size", (10, 40)),
    ]
    anything = picture_faults(tmp_path, names, [None] * 600)
    assert [f.index for f in anything] == [3, 300]
    assert [f.text for f in found] == image_problems(tmp_path, names, [SIZE] * 600)


def test_a_picture_that_nobody_annotated_is_turned_upright(tmp_path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.png", Image.fromarray(pixels), exif=exif)
    assert np.array_equal(decode_upright(path), np.rot90(pixels, -1))
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ValueError, match=r"a\.png to be a complete image"):
        decode_upright(path)
    with pytest.raises(ValueError, match="no such file"):
        decode_upright(tmp_path / "b.png")
