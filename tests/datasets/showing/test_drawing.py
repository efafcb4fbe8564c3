import numpy as np
import pytest
from PIL import Image

from corrlight.coco.annotation_file.table import annotation_table
from corrlight.datasets.showing.choosing import View
from corrlight.datasets.showing.drawing import class_colors, draw_view

GREY = (100, 100, 100)


def table(*annotations, width=80, height=40):
    return annotation_table(
        {
            "images": [{"id": 1, "file_name": "1.png", "width": width, "height": height}],
            "annotations": [
                {"id": k, "image_id": 1, "category_id": 1, "area": 9, "iscrowd": 0, **a}
                for k, a in enumerate(annotations, 1)
            ],
            "categories": [{"id": 1, "name": "cat"}],
        },
        keep_masks=True,
    )


@pytest.fixture
def draw(tmp_path):
    Image.new("RGB", (80, 40), GREY).save(tmp_path / "1.png")
    colors = {"cat": (255, 0, 0)}

    def drawn(data, size=160, **view):
        return draw_view(View(split="train", image=0, **view), data, tmp_path, colors, size)

    return drawn


def test_the_outline_is_where_the_box_is(draw):
    drawn = draw(table({"bbox": [20, 10, 40, 20]}))
    pixels = np.asarray(drawn.picture)
    assert pixels.shape == (80, 160, 3)
    red = (pixels == (255, 0, 0)).all(2)
    assert red[40, 40]  # left edge, at twice the size
    assert red[59, 80]  # lower edge
    assert tuple(pixels[40, 80]) == GREY  # inside
    assert not red[:, :35].any()


def test_masks_are_blended_inside_alone(draw):
    square = [[30, 15, 50, 15, 50, 25, 30, 25]]
    pixels = np.asarray(draw(table({"bbox": [20, 10, 40, 20], "segmentation": square})).picture)
    inside, outside = pixels[40, 80].astype(int), pixels[40, 50]
    assert np.abs(inside - (100 + 0.35 * 155, 65, 65)).max() <= 1
    assert tuple(outside) == GREY


def test_a_crop_shows_the_surroundings_of_its_object(draw):
    drawn = draw(table({"bbox": [70, 30, 4, 4]}), focus=0, crop=True)
    assert drawn.picture.size == (160, round(160 * 40 / 48))
    red = np.argwhere((np.asarray(drawn.picture) == (255, 0, 0)).all(2))
    # 48 pixels of the picture are shown, from 32 on.
    assert abs(red[:, 1].min() - (70 - 32) * 160 / 48) < 3


def test_what_cannot_be_drawn_is_counted(draw, tmp_path):
    drawn = draw(table({"bbox": [20, 10, 40, 20]}, {"bbox": [1, 1, -4, 3]}, {"bbox": "x"}))
    assert (drawn.num_objects, drawn.num_hidden) == (3, 2)
    (tmp_path / "1.png").unlink()
    lost = draw(table({"bbox": [20, 10, 40, 20]}))
    assert lost.picture is None
    assert "no such file" in lost.problem


def test_boxes_far_outside_and_odd_names_are_no_error(draw):
    data = table({"bbox": [-500, -500, 2000, 2000]}, {"bbox": [300, 300, 5, 5]})
    assert draw(data).picture.size == (160, 80)


def test_colours_of_classes_differ():
    colors = class_colors([str(k) for k in range(20)])
    assert len(set(colors.values())) == 20
