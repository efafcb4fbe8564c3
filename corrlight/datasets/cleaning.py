"""Objects that training can use: with a size, inside of their picture."""

from __future__ import annotations

from dataclasses import replace

from pycocotools import mask as mask_utils

from corrlight.datasets.outlines import Shape, from_corners
from corrlight.datasets.records import Annotation, Ledger, Picture

__all__ = ["cleaned"]


def cleaned(
    annotation: Annotation, picture: Picture, ledger: Ledger, difficult: str, clip: bool
) -> Annotation | None:
    """Return an object as it is kept, or None; both are counted.

    Args:
        annotation: The object; changed in place.
        picture: Its picture.
        ledger: Where it is counted.
        difficult: What becomes of objects marked as difficult: "keep", "crowd" or "drop".
        clip: Whether boxes are cut at the border of the picture.
    """
    where, shape = annotation.where, annotation.shape
    x, y, width, height = shape.box
    if width <= 0 or height <= 0:
        ledger.drop("boxes without width or height", where)
        return None
    rows, columns = picture.size
    if x >= columns or y >= rows or x + width <= 0 or y + height <= 0:
        ledger.drop("boxes outside of their picture", where)
        return None
    if annotation.extra.get("difficult") and difficult != "keep":
        if difficult == "drop":
            ledger.drop("difficult objects (--difficult drop)", where)
            return None
        ledger.change("difficult objects marked as crowds (--difficult crowd)", where)
        annotation.crowd = True
    # A millionth of a pixel is the rounding of whoever wrote shares of the size.
    over = max(-x, -y, x + width - columns, y + height - rows)
    if over > 1e-6 * max(rows, columns):
        if clip:
            ledger.change("boxes cut at the border of the picture (--clip)", where)
            annotation.shape = _clipped(shape, picture.size)
        else:
            ledger.change("boxes over the border of the picture kept (--clip cuts them)", where)
    return annotation


def _clipped(shape: Shape, size: tuple[int, int]) -> Shape:
    x, y, width, height = shape.box
    cut = from_corners(max(x, 0), max(y, 0), min(x + width, size[1]), min(y + height, size[0]))
    if shape.segmentation is None:
        return cut
    area = shape.area
    if isinstance(shape.segmentation, list):
        # Drawn into the picture, polygons are cut by themselves.
        rle = mask_utils.merge(mask_utils.frPyObjects(shape.segmentation, *size))
        area = float(mask_utils.area(rle))
    return replace(cut, area=area, segmentation=shape.segmentation)
