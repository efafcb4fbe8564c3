import numpy as np
import pytest
from PIL import Image, ImageDraw

from corrlight.reporting.outlines import (
    BLACK,
    WHITE,
    _face,
    _shortened,
    font,
    label,
    outline,
    painted,
    rectangle,
)


def test_a_rectangle_stays_inside_the_picture():
    assert rectangle(np.array([-5.0, 2.4, 99, 30]), (50, 20)) == (0, 2, 49, 19)
    assert rectangle(np.array([9.0, 9, 3, 3]), (50, 20)) == (9, 9, 9, 9)


def test_an_outline_lies_between_dark_lines():
    picture = Image.new("RGB", (60, 60), (90, 90, 90))
    outline(ImageDraw.Draw(picture), (20, 20, 40, 40), (255, 0, 0), 2)
    assert [picture.getpixel((x, 30)) for x in (17, 18, 19, 20, 21, 22)] == [
        (90, 90, 90), BLACK, (255, 0, 0), (255, 0, 0), BLACK, (90, 90, 90),
    ]  # fmt: skip


def test_labels_make_room_for_each_other():
    picture = Image.new("RGB", (200, 200))
    box = (50.0, 50.0, 150.0, 150.0)
    taken = []
    for _ in range(4):
        taken.append(label(picture, box, "0.50", (255, 255, 255), taken))
    for k, a in enumerate(taken):
        for b in taken[k + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_labels_stay_inside_the_picture():
    picture = Image.new("RGB", (60, 30))
    place = label(picture, (50, 2, 59, 9), "a long name", (0, 0, 0), [], letters=12)
    assert place[0] >= 0
    assert place[1] >= 0


@pytest.mark.parametrize("width", [60, 90, 150, 400])
def test_a_long_text_ends_in_an_ellipsis_and_its_score_is_whole(width):
    name, tail = "a very long name of a class", " 0.91"
    shown = _shortened(name, tail, font(13), width)
    assert font(13).getlength(shown) <= width
    start = shown.removesuffix(tail).removesuffix("\N{HORIZONTAL ELLIPSIS}")
    assert shown.endswith(tail)
    assert name.startswith(start)
    assert (shown == name + tail) == (width == 400)


def test_a_label_at_the_border_is_whole():
    picture = Image.new("RGB", (120, 40), WHITE)
    box = (100.0, 20.0, 119.0, 39.0)
    left, top, right, bottom = label(picture, box, "a very long name", (0, 0, 90), [], tail=" 0.91")
    assert 0 <= left < right < 120
    assert 0 <= top < bottom < 40
    # Its dark frame is closed on all sides.
    assert {picture.getpixel((x, top)) for x in range(int(left), int(right))} == {BLACK}
    assert {picture.getpixel((right, y)) for y in range(int(top), int(bottom))} == {BLACK}


def test_names_are_drawn_in_a_font_that_has_their_letters():
    def drawn(text):
        face, shown = _face(text, 13)
        return shown, face.getmask(shown)

    usual = {bytes(drawn(c)[1]) for c in "éüЖ"}
    assert len(usual) == 3  # not one empty box for all
    assert drawn("Fußgänger")[0] == "Fußgänger"
    assert drawn("\U0010fffd a")[0] == "? a"  # of no font


def test_painted_masks_cover_each_other_and_leave_the_rest():
    pixels = np.full((2, 3, 3), 100, np.uint8)
    masks = np.zeros((2, 2, 3), bool)
    masks[:, 0, 0], masks[0, 1, 1] = True, True
    found = painted(pixels, masks, [(200, 0, 0), (0, 200, 0)])
    assert found[0, 0].tolist() == [55, 145, 55]
    assert found[1, 1].tolist() == [145, 55, 55]
    assert (found[:, 2] == 100).all()


def test_a_label_is_its_text_in_a_frame():
    """Kept texts give the same pixels as Pillow writing into the picture itself."""
    color, text = (40, 200, 90), "square 0.91"
    picture = Image.new("RGB", (160, 90), (120, 0, 0))
    place = label(picture, (40, 40, 90, 80), "square", color, [], 13, " 0.91")
    expected = Image.new("RGB", (160, 90), (120, 0, 0))
    draw = ImageDraw.Draw(expected)
    draw.rectangle(place, fill=color, outline=BLACK)
    left, top, *_ = font(13).getbbox(text)
    draw.text((place[0] + 3 - left, place[1] + 3 - top), text, fill=BLACK, font=font(13))
    assert np.array_equal(np.asarray(picture), np.asarray(expected))
