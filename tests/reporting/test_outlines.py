import numpy as np
from PIL import Image, ImageDraw

from corrlight.reporting.outlines import BLACK, label, outline, rectangle


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
    draw = ImageDraw.Draw(Image.new("RGB", (200, 200)))
    box = (50.0, 50.0, 150.0, 150.0)
    taken = []
    for _ in range(4):
        taken.append(label(draw, box, "0.50", (255, 255, 255), (200, 200), taken))
    for k, a in enumerate(taken):
        for b in taken[k + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_labels_stay_inside_the_picture():
    draw = ImageDraw.Draw(Image.new("RGB", (60, 30)))
    place = label(draw, (50, 2, 59, 9), "a long name", (0, 0, 0), (60, 30), [], letters=12)
    assert place[0] >= 0
    assert place[1] >= 0
