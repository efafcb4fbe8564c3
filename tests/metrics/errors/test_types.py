import numpy as np
import pytest

from corrlight.metrics import Evaluation
from corrlight.metrics.errors.overlaps import overlaps
from corrlight.metrics.errors.types import ErrorType, error_table

C, L, B, D, G, M = ErrorType
SIZE = [100, 100]


def files(objects, found):
    """Objects: image, class, box and whether crowd. Detections: image, class, box and score."""
    annotations = [
        {"id": k, "image_id": i, "category_id": c, "bbox": b, "area": b[2] * b[3], "iscrowd": w}
        for k, (i, c, b, w) in enumerate(objects, 1)
    ]
    names = ("image_id", "category_id", "bbox", "score")
    return {
        "images": [{"id": i, "width": 1000, "height": 1000} for i in (1, 2)],
        "categories": [{"id": c, "name": f"class {c}"} for c in (1, 2, 3)],
        "annotations": annotations,
    }, [dict(zip(names, d, strict=True)) for d in found]


def table_of(objects, found):
    return error_table(overlaps(Evaluation.from_coco(*files(objects, found)), 0.1))


def test_every_type_by_hand():
    objects = [
        (1, 1, [0, 0, *SIZE], 0),
        (1, 1, [200, 0, *SIZE], 0),
        (1, 2, [400, 0, *SIZE], 0),
        (1, 2, [600, 0, *SIZE], 0),
        (1, 3, [800, 0, *SIZE], 0),
        (2, 1, [0, 0, *SIZE], 1),
    ]
    found = [
        (1, 1, [0, 0, *SIZE], 0.9),
        (1, 1, [10, 0, *SIZE], 0.8),  # IoU 0.82 with an object that is taken
        (1, 1, [230, 50, *SIZE], 0.7),  # IoU 0.21 with one of its class
        (1, 1, [210, 20, 50, 50], 0.65),  # the same object, a lower score
        (1, 1, [410, 0, *SIZE], 0.6),  # IoU 0.82 with one of another class
        (1, 3, [630, 50, *SIZE], 0.5),  # IoU 0.21 with one of another class
        (1, 3, [0, 500, *SIZE], 0.4),  # nothing near
        (2, 2, [0, 0, *SIZE], 0.3),  # no object in the picture: in a crowd of another class
        (2, 1, [0, 0, *SIZE], 0.2),  # in a crowd of its class
    ]
    table = table_of(objects, found)
    assert table.error.tolist() == [-1, D, L, L, C, B, G, G, G]
    assert table.matched.tolist() == [0] + [-1] * 8
    assert table.target.tolist() == [-1, -1, 1, -1, 2, -1, -1, -1, -1]
    assert table.ignored.tolist() == [False] * 8 + [True]
    assert table.missed.tolist() == [False, False, False, True, True, False]


@pytest.mark.parametrize(
    ("width", "error"),
    [(50, -1), (49, L), (10, L), (9, G)],
)
def test_borders(width, error):
    """At 0.5 a detection is right, and at 0.1 it is a localisation error."""
    table = table_of([(1, 1, [0, 0, *SIZE], 0)], [(1, 1, [0, 0, width, 100], 0.5)])
    assert table.error.tolist() == [error]


def test_at_the_border_of_a_taken_object_it_is_the_place_that_is_wrong():
    found = [(1, 1, [0, 0, *SIZE], 0.9), (1, 1, [0, 0, 50, 100], 0.8)]
    assert table_of([(1, 1, [0, 0, *SIZE], 0)], found).error.tolist() == [-1, L]


def test_an_ignored_detection_could_find_an_object():
    objects = [(1, 1, [0, 0, *SIZE], 0), (1, 1, [0, 0, 500, 500], 1)]
    table = table_of(objects, [(1, 1, [0, 0, 100, 40], 0.9)])
    assert table.ignored.tolist() == [True]
    assert table.error.tolist() == [L]
    assert table.target.tolist() == [0]
    assert not table.missed.any()


def test_the_first_of_equals_is_taken():
    objects = [(1, 1, [0, 0, *SIZE], 0), (1, 1, [0, 0, *SIZE], 0)]
    table = table_of(objects, [(1, 1, [0, 0, 80, 100], s) for s in (0.5, 0.5, 0.5)])
    assert table.matched.tolist() == [0, 1, -1]
    assert table.error.tolist() == [-1, -1, D]


def test_nothing_to_find_and_nothing_found():
    assert table_of([], []).error.tolist() == []
    assert table_of([(1, 1, [0, 0, *SIZE], 0)], []).missed.tolist() == [True]
    assert table_of([], [(2, 1, [0, 0, *SIZE], 0.5)]).error.tolist() == [G]


def test_keys_are_words():
    assert [t.key for t in ErrorType][:2] == ["classification", "localisation"]
    assert np.array_equal([int(t) for t in ErrorType], np.arange(6))
