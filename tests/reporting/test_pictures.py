"""Pixels of drawn detections."""

import os

import numpy as np
import pytest
from PIL import Image

from corrlight.reporting import Scene, contact_sheet, draw_scene, iou_color, save_image

GRAY = 90


def _scene(boxes=((16, 32, 48, 96),), scores=(0.9,), labels=(1,), gt=((16, 32, 48, 96),), **extra):
    return Scene(
        image=np.full((128, 128, 3), GRAY, np.uint8),
        boxes=np.array(boxes, float).reshape(-1, 4),
        scores=np.array(scores),
        labels=np.array(labels),
        gt_boxes=np.array(gt, float).reshape(-1, 4),
        gt_labels=np.ones(len(gt), int),
        **extra,
    )


def _drawn(scene, **options):
    return np.asarray(draw_scene(scene, **options))


def _close(pixel, color):
    return np.abs(pixel.astype(int) - color).max() <= 2


def test_outline_lies_on_the_scaled_box_in_the_color_of_its_iou():
    picture = _drawn(_scene(gt=((20, 36, 52, 100),)), size=256)
    assert picture.shape == (256, 256, 3)
    iou = 28 * 60 / (2 * 32 * 64 - 28 * 60)
    for x, y in ((32, 150), (96, 150), (50, 192)):  # left, right, bottom
        assert _close(picture[y, x], iou_color(iou)), (x, y)
    assert (picture[120, 64] == GRAY).all()  # inside
    assert (picture[220, 200] == GRAY).all()  # outside


def test_colors_tell_poor_from_good():
    assert iou_color(0.0) == (213, 94, 0)
    assert iou_color(1.0) == (0, 114, 178)
    wrong_class = _drawn(_scene(labels=(2,), gt=()), size=256)
    assert _close(wrong_class[150, 32], iou_color(0.0))


def test_object_is_a_dashed_outline_of_black_and_white():
    picture = _drawn(_scene(boxes=(), scores=(), labels=()), size=128)
    edge = picture[96, 16:48]  # bottom side
    assert {tuple(pixel) for pixel in edge} == {(0, 0, 0), (255, 255, 255)}
    assert (picture[60, 30] == GRAY).all()


def test_object_under_a_perfect_detection_stays_visible_and_so_does_the_color():
    edge = _drawn(_scene(), size=128)[96, 18:46]
    whites = (edge == 255).all(1).sum()
    assert 4 <= whites <= 10
    assert (np.abs(edge.astype(int) - iou_color(1.0)).max(1) <= 2).sum() == 28 - whites


def test_score_is_printed_beside_the_box():
    with_label = _drawn(_scene(), size=256)
    label = with_label[40:62, 30:64]  # above the left upper corner at (32, 64)
    assert _close(label.reshape(-1, 3)[(label.reshape(-1, 3) != 0).any(1)].max(0), (255, 255, 255))
    other = _drawn(_scene(scores=(0.4,)), size=256)[40:62, 30:64]
    assert (label != other).any()  # another number


def test_scores_below_the_threshold_are_left_out():
    nothing = _drawn(_scene(scores=(0.29,), gt=()), size=256)
    assert (nothing == GRAY).all()
    assert (_drawn(_scene(scores=(0.29,), gt=()), size=256, score_thresh=0.2) != GRAY).any()


def test_labels_of_near_boxes_do_not_cover_each_other():
    boxes = [(40, 50, 90, 90), (41, 50, 90, 90), (40, 51, 91, 90)]
    one = _drawn(_scene(boxes=boxes[:1], scores=(0.5,), labels=(1,), gt=()), size=256)
    three = _drawn(_scene(boxes=boxes, scores=(0.5, 0.6, 0.7), labels=(1,) * 3, gt=()), size=256)
    orange = np.array(iou_color(0.0))
    areas = [(np.abs(p.astype(int) - orange).max(-1) <= 2).sum() for p in (one, three)]
    assert areas[1] > areas[0] + 2 * 200  # two more labels of about 34 x 16 pixels


@pytest.mark.parametrize("box", [(-50, -50, 300, 300), (127.9, 127.9, 128, 128), (5, 5, 5, 5)])
def test_boxes_at_and_beyond_the_border(box):
    picture = _drawn(_scene(boxes=(box,)), size=200)
    assert picture.shape == (200, 200, 3)


def test_contact_sheet_holds_all_images_and_a_legend():
    scenes = [_scene(title=f"image {k}") for k in range(4)]
    sheet = contact_sheet(scenes, columns=3, size=200)
    assert sheet.width == 3 * 206 + 6
    pixels = np.asarray(sheet)
    tile = np.asarray(draw_scene(scenes[0], 200))
    for row, column in ((0, 0), (0, 1), (0, 2), (1, 0)):
        x, y = 6 + column * 206, 6 + row * 226 + 20
        np.testing.assert_array_equal(pixels[y : y + 200, x : x + 200], tile)
    assert (pixels[6 + 226 + 20 : 6 + 2 * 226, 6 + 206 :] == 255).all()  # no fifth image
    legend = pixels[-40:].reshape(-1, 3)
    for iou in (0.0, 0.5, 1.0):
        assert (np.abs(legend.astype(int) - iou_color(iou)).max(1) <= 6).any(), iou


def test_names_stand_at_detections_and_at_missed_objects():
    names = ["none", "cat"]
    found = _scene()
    plain, named = _drawn(found, size=256), _drawn(found, size=256, names=names)
    changed = (plain != named).any(-1)
    assert changed[40:62, 60:90].any()  # the label has become longer
    assert not changed[70:].any()
    # The object is named only where no shown detection meets it.
    missed = _scene(scores=(0.2,))
    plain, named = _drawn(missed, size=256), _drawn(missed, size=256, names=names)
    assert (plain != named).any()
    wrong = _scene(labels=(0,))
    both = _drawn(wrong, size=256, names=names)
    whites = [(p == 255).all(-1).sum() for p in (both, _drawn(wrong, size=256))]
    assert whites[0] > whites[1] + 100
    # A label that the file has no name for is a number.
    _drawn(_scene(labels=(7,)), names=names)


def test_masks_have_the_colour_of_their_boxes():
    masks = np.zeros((2, 128, 128), bool)
    masks[0, 40:90, 20:44], masks[1, :20, 100:] = True, True
    boxes = [(16, 32, 48, 96), (100, 0, 127, 19)]
    scene = _scene(boxes=boxes, scores=(0.9, 0.1), labels=(1, 1), masks=masks)
    picture = _drawn(scene, size=128)
    assert _close(picture[64, 32], np.round(0.55 * GRAY + 0.45 * np.array(iou_color(1.0))))
    assert (picture[10, 110] == GRAY).all()  # below the threshold
    assert (scene.image == GRAY).all()


@pytest.mark.parametrize("size", [32, 128, 320])
@pytest.mark.parametrize("names", [(), ("none", "cat")])
def test_title_and_legend_are_whole_however_small_the_picture(size, names):
    scene = _scene(title="image 123456789012")
    pixels = np.asarray(contact_sheet([scene], size=size, names=names))
    assert (pixels[:, -4:] == 255).all()
    wide = np.asarray(contact_sheet([scene], size=640, names=names))
    ink = [(p[26 + k :] < 128).all(-1).sum() for p, k in ((pixels, size), (wide, 640))]
    assert ink[0] == ink[1]  # the legend in rows and in one row
    assert ((pixels[:26] < 128).all(-1).sum()) == ((wide[:26] < 128).all(-1).sum())


def test_images_of_other_shapes():
    scene = Scene(
        image=np.zeros((60, 120, 3), np.uint8),
        boxes=np.zeros((0, 4)),
        scores=np.zeros(0),
        labels=np.zeros(0, int),
        gt_boxes=np.zeros((0, 4)),
        gt_labels=np.zeros(0, int),
    )
    assert draw_scene(scene, size=300).size == (300, 150)
    assert contact_sheet([scene, _scene()], columns=2, size=200).height == 6 + 20 + 200 + 6 + 40


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`scenes`"):
        contact_sheet([])
    with pytest.raises(ValueError, match="`columns` to be at least 1, but got 0"):
        contact_sheet([_scene()], columns=0)
    with pytest.raises(ValueError, match=r"`image` .* float64 of shape \(2, 2, 3\)"):
        Scene(
            image=np.zeros((2, 2, 3)),
            boxes=np.zeros((0, 4)),
            scores=np.zeros(0),
            labels=np.zeros(0),
            gt_boxes=np.zeros((0, 4)),
            gt_labels=np.zeros(0),
        )


def test_save_is_atomic(tmp_path):
    path = save_image(Image.new("RGB", (4, 4), (1, 2, 3)), tmp_path / "a.png")
    before = path.read_bytes()

    class Broken:
        def save(self, path):
            path.write_bytes(b"half")
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        save_image(Broken(), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]
