import base64
import io

from PIL import Image

from corrlight.datasets.html_page import html_page, inline_jpeg, inline_svg
from tests.datasets.html_tags import Tags


def test_the_title_is_text_and_tags_are_closed():
    page = html_page("<script>alert(1)</script>", ["<p>x</p>"])
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert "script" not in tags.seen
    assert "&lt;script&gt;" in page
    assert "http" not in page


def test_pictures_are_inside():
    address = inline_jpeg(Image.new("RGB", (30, 20), (200, 10, 10)))
    kind, _, data = address.partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert (image.format, image.size) == ("JPEG", (30, 20))
    assert base64.b64decode(inline_svg(b"<svg/>").partition(",")[2]) == b"<svg/>"
