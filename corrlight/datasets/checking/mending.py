"""Annotations of a split without what stops a training: records mended, or left out and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from corrlight.coco.annotation_file.images import is_inside
from corrlight.coco.annotation_file.table import AnnotationTable, annotation_table
from corrlight.coco.geometry import (
    box_use,
    converted,
    corners,
    likely_reading,
    odd_areas,
)
from corrlight.coco.segmentations import encode
from corrlight.coco.types import Array
from corrlight.coco.values import is_given
from corrlight.data.images import picture_faults
from corrlight.datasets.records import Ledger
from corrlight.picture_files import upright_size

__all__ = ["Record", "mend_annotations", "mend_categories", "mend_images", "whole_id"]

Record = dict[str, Any]


def whole_id(value: Any) -> int | None:
    """Return an id that is a whole number of 64 bits or the text of one, or None."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value) if len(value) < 30 else None
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and abs(value) < 1 << 63 else None


def mend_categories(given: Sequence[Any], split: str, ledger: Ledger) -> dict[int, Record]:
    """Return categories by the ids that annotations use; ones of equal names are one record."""
    found: dict[int, Record] = {}
    by_name: dict[str, Record] = {}
    for k, record in enumerate(given):
        where = f"{split}: categories[{k}]"
        identity = whole_id(record.get("id")) if isinstance(record, dict) else None
        if identity is None:
            ledger.drop("categories without an id", where)
            continue
        name = record.get("name")
        if not isinstance(name, str) or not name:
            name = f"class {identity}"
            ledger.change("categories without a name called by their id", where)
        if identity in found:
            if found[identity]["name"] != name:
                ledger.drop("categories with the id of another", where)
            continue
        if name in by_name:
            ledger.change("categories of the same name joined", where)
        found[identity] = by_name.setdefault(name, {**record, "id": identity, "name": name})
    return found


def mend_images(
    given: Sequence[Any], folder: Path, split: str, ledger: Ledger
) -> tuple[dict[int, Record], dict[int, Path]]:
    """Return images by the ids that annotations use, and the picture of each record's id.

    Args:
        given: The records of the file.
        folder: Folder of the pictures.
        split: For the ledger.
        ledger: Where changes are counted.
    """
    found: dict[int, Record] = {}
    by_name: dict[str, Record] = {}
    paths: dict[int, Path] = {}
    letters: dict[str, str] = {}
    for k, record in enumerate(given):
        where = f"{split}: images[{k}]"
        identity = whole_id(record.get("id")) if isinstance(record, dict) else None
        if identity is None:
            ledger.drop("images without an id", where)
            continue
        if identity in found:
            ledger.drop("images with the id of another", where)
            continue
        if isinstance(record.get("id"), str):
            ledger.change("ids written as text made numbers", where)
        name = _file_name(record, folder)
        if name is not None and isinstance(record.get("file_name"), str):
            moved = int(name != record["file_name"])
            ledger.change("file names without folders outside of the set", where, moved)
        if name is not None and not (folder / name).is_file():
            letters = letters or {
                p.relative_to(folder).as_posix().casefold(): p.relative_to(folder).as_posix()
                for p in folder.rglob("*")
            }
            if name.casefold() in letters:
                name = letters[name.casefold()]
                ledger.change("file names written as the files are", where)
        if name is None or not (folder / name).is_file():
            ledger.drop("images whose picture is not there", f"{where} {record.get('file_name')!r}")
            continue
        if picture_faults(folder, [name], [None]):
            ledger.drop("images whose picture is damaged", f"{where} {name}")
            continue
        if name in by_name:
            ledger.change("images of the same picture joined", where)
            found[identity] = by_name[name]
            continue
        size = _size(record, folder / name, where, ledger)
        if size is None:
            continue
        mended = {**record, "id": identity, "file_name": name, "height": size[0], "width": size[1]}
        found[identity] = by_name[name] = mended
        paths[identity] = folder / name
    return found, paths


def _file_name(record: Record, folder: Path) -> str | None:
    """Return a name in the folder, or None."""
    name = record.get("file_name")
    if not is_given(name):
        name = record.get("coco_url")
        name = PurePosixPath(name).name if isinstance(name, str) else None
    if not isinstance(name, str) or not name or "\0" in name:
        return None
    if is_inside(name):
        return name
    last = name.replace("\\", "/").rpartition("/")[2]
    return last if last and last != ".." and (folder / last).is_file() else None


def _size(record: Record, path: Path, where: str, ledger: Ledger) -> tuple[int, int] | None:
    """Return height and width that the boxes of an image refer to; None leaves it out."""
    declared = (whole_id(record.get("height")), whole_id(record.get("width")))
    with Image.open(path) as image:
        stored = (image.height, image.width)
        upright = stored if declared == stored else upright_size(image)
    if declared in (stored, upright):
        if isinstance(record["height"], str) or isinstance(record["width"], str):
            ledger.change("sizes written as text made numbers", where)
        return stored if declared == stored else upright
    if not all(v is not None and v > 0 for v in declared):
        ledger.change("missing sizes taken from the picture", where)
        return upright
    if declared == upright[::-1]:
        ledger.change("exchanged width and height taken from the picture", where)
        return upright
    ledger.drop("images whose picture has another size", f"{where} {path.name}")
    return None


def mend_annotations(
    given: Sequence[Any],
    images: dict[int, Record],
    categories: dict[int, Record],
    split: str,
    ledger: Ledger,
) -> list[Record]:
    """Return the annotations that are of use, mended.

    Args:
        given: The records of the file.
        images: By the ids that they use.
        categories: By the ids that they use.
        split: For the ledger.
        ledger: Where changes are counted.
    """
    records = list(_referred(given, images, categories, split, ledger))
    table = _table(records, images, categories)
    errors = {f.kind for f in table.findings.errors("train")}
    if errors & {"leaving_box", "narrow_box"}:
        _convert(records, table, split, ledger)
        table = _table(records, images, categories)
    return _sound(records, table, split, ledger)


def _table(
    records: Sequence[Record], images: dict[int, Record], categories: dict[int, Record]
) -> AnnotationTable:
    content = {
        "images": list({record["id"]: record for record in images.values()}.values()),
        "annotations": records,
        "categories": list({record["id"]: record for record in categories.values()}.values()),
    }
    return annotation_table(content, masks=True)


def _referred(
    given: Sequence[Any],
    images: dict[int, Record],
    categories: dict[int, Record],
    split: str,
    ledger: Ledger,
) -> Iterator[Record]:
    """Yield annotations of known images and categories, with ids and boxes of numbers."""
    used: set[int] = set()
    ids = {whole_id(r.get("id")) for r in given if isinstance(r, dict)} - {None}
    following = max((k for k in ids if k is not None), default=0) + 1
    for k, record in enumerate(given):
        if not isinstance(record, dict):
            ledger.drop("annotations that are no object", f"{split}: annotations[{k}]")
            continue
        where = f"{split}: annotation {record.get('id', f'number {k}')}"
        image = images.get(_key(record.get("image_id")))
        category = categories.get(_key(record.get("category_id")))
        if image is None:
            ledger.drop("annotations of images that are not there (any more)", where)
            continue
        if category is None:
            ledger.drop("annotations of categories that are not there", where)
            continue
        identity = whole_id(record.get("id"))
        if identity is None or identity in used:
            ledger.change("annotations numbered anew", where)
            identity, following = following, following + 1
        used.add(identity)
        if any(isinstance(record.get(key), str) for key in ("image_id", "category_id")):
            ledger.change("references to ids written as text made numbers", where)
        references = {"image_id": image["id"], "category_id": category["id"]}
        yield {**record, "id": identity, **references, "bbox": _box(record, where, ledger)}


def _key(value: Any) -> int:
    identity = whole_id(value)
    return -1 << 70 if identity is None else identity


def _box(record: Record, where: str, ledger: Ledger) -> Any:
    box = record.get("bbox")
    if isinstance(box, list) and len(box) == 4 and any(isinstance(v, str) for v in box):
        try:
            numbers = [float(v) for v in box]
        except (TypeError, ValueError):
            return box
        ledger.change("boxes written as text made numbers", where)
        return numbers
    # Exact, as the importer takes it; what is left is measured in whole pixels (``mask_box``).
    if box is None and isinstance(record.get("segmentation"), list):
        parts = [p for p in record["segmentation"] if isinstance(p, list) and len(p) >= 6]
        values = [v for part in parts for v in part]
        if parts and all(type(v) in (int, float) for v in values):
            x, y = ([v for part in parts for v in part[k::2]] for k in (0, 1))
            ledger.change("missing boxes taken from the mask", where)
            return [min(x), min(y), max(x) - min(x), max(y) - min(y)]
    return box


def _convert(records: list[Record], table: AnnotationTable, split: str, ledger: Ledger) -> None:
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero((table.boxes[:, 2:] > 0).all(1))
    boxes, sizes = table.boxes[rows], table.sizes[table.image_idx[rows]]
    reading = likely_reading(boxes, sizes)
    if reading is None or reading == "exchanged":
        return
    for row, box in zip(rows.tolist(), converted(boxes, sizes, reading).tolist(), strict=True):
        records[row]["bbox"] = box
        records[row].pop("area", None)
        ledger.change(f"boxes written as {reading} converted", f"{split}: {records[row]['id']}")


def _sound(
    records: Sequence[Record], table: AnnotationTable, split: str, ledger: Ledger
) -> list[Record]:
    """Return the records with boxes in their images, areas, flags, and masks that are sound."""
    assert table.masked is not None
    sizes = table.sizes[table.image_idx]
    limits = sizes[:, [1, 0, 1, 0]].astype(np.float64)
    leaving = np.zeros(len(records), bool)
    good = np.flatnonzero(~table.invalid)
    leaving[good] = box_use(corners(table.boxes[good]), sizes[good], table.areas[good]).leaving
    edges = table.boxes.copy()
    edges[:, 2:] += edges[:, :2]
    cut: Array = np.clip(edges, 0, limits)
    odd = ~(table.areas > 0) | odd_areas(table.boxes, table.areas)
    kept: list[Record] = []
    seen: set[tuple[Any, ...]] = set()
    for row, record in enumerate(records):
        where = f"{split}: annotation {record['id']}"
        mended = dict(record)
        if not is_given(record.get("bbox")) and (table.boxes[row, 2:] > 0).all():
            mended["bbox"] = table.boxes[row].tolist()
            ledger.change("missing boxes taken from the mask", where)
        elif table.invalid[row]:
            ledger.drop("annotations without a box in their image", where)
            continue
        if leaving[row]:
            x1, y1, x2, y2 = cut[row].tolist()
            mended["bbox"] = [x1, y1, x2 - x1, y2 - y1]
            ledger.change("boxes cut at the border of the picture", where)
        if is_given(record.get("segmentation")) and not table.masked[row]:
            del mended["segmentation"]
            ledger.change("broken masks left out", where)
        if record.get("iscrowd") not in (0, 1):
            ledger.change("iscrowd set to 0", where)
        mended["iscrowd"] = int(table.crowd[row])
        key = (mended["image_id"], mended["category_id"], mended["iscrowd"], *mended["bbox"])
        if key in seen:
            ledger.drop("annotations with the class and box of another", where)
            continue
        seen.add(key)
        if odd[row]:
            mended["area"] = _area(mended, sizes[row].tolist(), bool(table.masked[row]))
            ledger.change("areas computed anew", where)
        kept.append(mended)
    return kept


def _area(record: Record, size: Sequence[int], masked: bool) -> float:
    """Return the pixels of the mask, or width times height of the box."""
    pixels = int(mask_utils.area(encode(record["segmentation"], *size))) if masked else 0
    return float(pixels or record["bbox"][2] * record["bbox"][3])
