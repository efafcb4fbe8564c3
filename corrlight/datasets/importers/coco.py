"""COCO files in the layouts that there are: COCO's own, ours, Roboflow's and LVIS.

Ids, crowds, areas and further keys of the records are kept. Splits are those of the file names
(``instances_train2017.json``) or folders (``train/_annotations.coco.json``). Pictures of LVIS have
a ``coco_url`` alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from corrlight.coco.run_lengths import broken_encodings
from corrlight.datasets.outlines import Shape, from_polygon, joined
from corrlight.datasets.pictures import PictureIndex, picture_frame, split_name
from corrlight.datasets.records import (
    Annotation,
    Content,
    Ledger,
    Picture,
    ReadOptions,
    RecordError,
    entry,
    number,
)
from corrlight.json_files import read_json

__all__ = ["read_coco"]

_ROBOFLOW = "_annotations.coco.json"
_OWN_KEYS = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"),
}


def read_coco(source: Path, ledger: Ledger, options: ReadOptions) -> Content:
    """Return the pictures and objects of an annotation file or of a folder with some.

    Classes are in the order of their ids.

    Raises:
        ValueError: There is no annotation file, or several for one split.
    """
    files = {source: _split(source, source.parent)} if source.is_file() else _files(source)
    root = source.parent if source.is_file() else source
    root = root.parent if root.name == "annotations" else root
    index = PictureIndex(options.images or root)
    content = Content(pictures=[])
    for file, split in files.items():
        data = read_json(file, "COCO annotation file")
        for key in ("images", "categories"):
            if not isinstance(data, dict) or not isinstance(data.get(key), list):
                raise ValueError(f"Expected {file} to be a COCO file, but it has no list of {key}.")
        names = _categories(data["categories"], file, content, ledger)
        _read_file(data, file, split, names, index, content, ledger, options)
    _drop_group(content, ledger)
    ids = {name: record.get("id") for name, record in content.categories.items()}
    content.classes = sorted(ids, key=lambda name: (ids[name], name))
    return content


def _files(folder: Path) -> dict[Path, str]:
    """Return the annotation files of a folder and the split of each."""
    found = sorted(folder.rglob(_ROBOFLOW))
    found = found or sorted((folder / "annotations").glob("*.json"))
    found = found or sorted(folder.glob("*.json")) or sorted(folder.glob("*/*.json"))
    # Beside the boxes COCO has captions, key points and panoptic segmentations.
    found = [p for p in found if p.name.startswith("instances")] or found
    splits = {path: _split(path, folder) for path in found}
    if not splits:
        raise ValueError(f"Expected COCO annotation files (.json) in {folder}, but found none.")
    twice = [p for p in splits if list(splits.values()).count(splits[p]) > 1]
    if twice:
        raise ValueError(
            f"Expected one annotation file a split, but got {twice[0]} and {twice[1]}; name those "
            "that are meant: train=FILE val=FILE --images FOLDER."
        )
    return splits


def _split(path: Path, root: Path) -> str:
    """Return the split that a file's name says, or else the folder that it lies in."""
    words = [w for w in re.split(r"[^a-z]+", path.stem.lower()) if w]
    named = [w for w in words if split_name(w) or w == "trainval"]
    inside = path.parent != root and path.parent.name != "annotations"
    split = named[-1] if named else path.parent.name if inside else ""
    return split_name(split) or split


def _categories(records: list[Any], file: Path, content: Content, ledger: Ledger) -> dict[int, str]:
    """Add the categories of a file; return their names by id."""
    names: dict[int, str] = {}
    for k, record in enumerate(records):
        with ledger.record(f"{file}: categories[{k}]"):
            identity, name = _whole(entry(record, "id"), "id"), entry(record, "name", str)
            if identity in names or not name or name in names.values():
                raise RecordError(f"id {identity} or name {name!r} is there twice or empty")
            names[identity] = name
            kept = content.categories.setdefault(name, {**record, "id": identity})
            if kept["id"] != identity:
                ledger.change("category ids that differ between files taken from the first", file)
    return names


def _read_file(
    data: dict[str, Any],
    file: Path,
    split: str,
    names: dict[int, str],
    index: PictureIndex,
    content: Content,
    ledger: Ledger,
    options: ReadOptions,
) -> None:
    pictures: dict[int, Picture] = {}
    known: set[int] = set()
    for k, record in enumerate(data["images"]):
        with ledger.record(f"{file}: images[{k}]"):
            identity = _whole(entry(record, "id"), "id")
            if identity in known:
                raise RecordError(f"id {identity} is there twice")
            known.add(identity)
            name = record.get("file_name") or record.get("coco_url")
            if not isinstance(name, str):
                raise RecordError("it has neither file_name nor coco_url")
            path = index.find(name, split=split, near=file)
            sizes = [_whole(record.get(key) or 0, key) for key in ("height", "width")]
            size = picture_frame(
                path, (sizes[0], sizes[1]), ledger, ignore_size=options.ignore_size
            )
            pictures[identity] = Picture(
                path=path,
                size=size,
                splits=frozenset([split] if split else []),
                labelled="annotations" in data,
                name=name if "file_name" in record else None,
                extra=_others(record, "images"),
                identity=identity,
            )
    records = data.get("annotations", [])
    if not isinstance(records, list):
        raise ValueError(f"Expected the annotations in {file} to be a list.")
    read: dict[Any, Any] = {}
    for k, record in enumerate(records):
        where = f"{file}: annotations[{k}]"
        with ledger.record(where):
            # Tools repeat the record before a picture without objects; one with another content
            # is an object of its own, whose id is mended later.
            named = record.get("id") if isinstance(record, dict) else None
            earlier = read.setdefault(named, record) if isinstance(named, int) else record
            if earlier is not record and earlier == record:
                ledger.drop("objects that stand there again, with the same id", where)
                continue
            owner = _whole(entry(record, "image_id"), "image_id")
            category = _whole(entry(record, "category_id"), "category_id")
            if owner not in known or category not in names:
                raise RecordError(f"no image {owner} or category {category}")
            if owner not in pictures:
                ledger.drop("objects of pictures that cannot be read", where)
                continue
            shape = _shape(record, pictures[owner].size, where, ledger)
            crowd = record.get("iscrowd")
            if crowd is None:
                ledger.change("missing iscrowd flags set to 0", where)
            elif crowd not in (0, 1):
                raise RecordError(f"iscrowd is {crowd!r}")
            pictures[owner].annotations.append(
                Annotation(
                    label=names[category],
                    shape=shape,
                    where=where,
                    crowd=bool(crowd),
                    extra=_others(record, "annotations"),
                    identity=_whole(record["id"], "id") if "id" in record else None,
                )
            )
    content.pictures += pictures.values()


def _shape(record: dict[str, Any], size: tuple[int, int], where: str, ledger: Ledger) -> Shape:
    segmentation = record.get("segmentation") or None
    box, area = record.get("bbox"), record.get("area")
    if box is None and segmentation is not None:
        ledger.change("missing boxes taken from the segmentation", where)
        box = _extent(segmentation, size)
    if not isinstance(box, list) or len(box) != 4:
        raise RecordError(f"bbox is {box!r}, not [x, y, width, height]")
    x, y, width, height = (number(v, "bbox") for v in box)
    if area is None:
        ledger.change("missing areas taken from polygons, or else from boxes", where)
        area = width * height
        if isinstance(segmentation, list):
            area = sum(_polygon(p).area for p in segmentation)
    return Shape((x, y, width, height), number(area, "area"), segmentation)


def _extent(segmentation: Any, size: tuple[int, int]) -> list[float]:
    if isinstance(segmentation, list):
        return list(joined([_polygon(p) for p in segmentation], size).box)
    counts = entry(segmentation, "counts", (str, list))
    if entry(segmentation, "size", list) != list(size):
        raise RecordError("the size of its segmentation is not its picture's")
    if isinstance(counts, list):
        if any(type(c) is not int or c < 0 for c in counts) or sum(counts) != size[0] * size[1]:
            raise RecordError("the run lengths of its segmentation do not add up")
        segmentation = mask_utils.frPyObjects(segmentation, *size)
    elif broken_encodings([counts], np.array([size[0] * size[1]])).any():
        raise RecordError("the run lengths of its segmentation are broken")
    return [float(v) for v in mask_utils.toBbox(segmentation)]


def _polygon(flat: Any) -> Shape:
    if not isinstance(flat, list) or len(flat) < 6 or len(flat) % 2:
        raise RecordError("segmentation has a polygon that is not three or more x, y")
    values = [number(v, "segmentation") for v in flat]
    return from_polygon(list(zip(values[::2], values[1::2], strict=True)))


def _drop_group(content: Content, ledger: Ledger) -> None:
    """Leave out the category of no object that Roboflow puts before the classes of a project."""
    used = {a.label for p in content.pictures for a in p.annotations}
    for name, record in list(content.categories.items()):
        others = [r.get("supercategory") for n, r in content.categories.items() if n != name]
        if name not in used and record["id"] == 0 and others and set(others) == {name}:
            del content.categories[name]
            ledger.drop("categories that are the group of all others (Roboflow)", repr(name))


def _others(record: dict[str, Any], kind: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in _OWN_KEYS[kind]}


def _whole(value: Any, name: str) -> int:
    result = number(value, name)
    if isinstance(value, str) or result != int(result):
        raise RecordError(f"{name} is {value!r}, not a whole number")
    return int(result)
