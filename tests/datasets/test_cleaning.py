"""What happens to boxes that training cannot use, or not as they are."""

from pathlib import Path

import pytest

from corrlight.datasets.cleaning import cleaned
from corrlight.datasets.outlines import from_corners, from_polygon
from corrlight.datasets.records import Annotation, Ledger, Picture

PICTURE = Picture(path=Path("a.jpg"), size=(30, 40))


def clean(shape, mode="keep", clip=False, **extra):
    ledger = Ledger()
    annotation = Annotation(label="x", shape=shape, where="w", extra=extra)
    return cleaned(annotation, PICTURE, ledger, mode, clip), ledger


@pytest.mark.parametrize(
    "corners", [(5, 5, 5, 9), (5, 5, 4, 9), (40, 5, 44, 9), (-4, 5, 0, 9), (5, 30, 9, 31)]
)
def test_no_size_or_outside(corners):
    kept, ledger = clean(from_corners(*corners))
    assert kept is None
    assert [t.count for t in ledger.left_out.values()] == [1]


def test_over_the_border():
    kept, ledger = clean(from_corners(-2, 5, 50, 9))
    assert kept.shape.box == (-2, 5, 52, 4)
    assert [t.count for t in ledger.changed.values()] == [1]
    kept, _ = clean(from_corners(-2, 5, 50, 9), clip=True)
    assert (kept.shape.box, kept.shape.area) == ((0, 5, 40, 4), 160)
    polygon = from_polygon([(-10, 0), (10, 0), (10, 20), (-10, 20)])
    kept, _ = clean(polygon, clip=True)
    assert (kept.shape.box, kept.shape.area) == ((0, 0, 10, 20), 200)
    assert kept.shape.segmentation == polygon.segmentation
    # Rounding of whoever wrote six digits is no overhang.
    assert clean(from_corners(0, 0, 40.00003, 30))[1].changed == {}


def test_difficult():
    assert not clean(from_corners(1, 1, 3, 3), "crowd")[0].crowd
    assert clean(from_corners(1, 1, 3, 3), "crowd", difficult=1)[0].crowd
    assert not clean(from_corners(1, 1, 3, 3), "keep", difficult=1)[0].crowd
    assert clean(from_corners(1, 1, 3, 3), "drop", difficult=1)[0] is None
