import io

from PIL import Image

from corrlight.picture_files import PICTURE_SUFFIXES, is_picture


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
