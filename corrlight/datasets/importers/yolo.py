"""YOLO: one text file a picture, with a class number and shares of the picture's size a line.

Read are a ``data.yaml`` (its splits are folders, text files of paths or lists of these), and
folders without one that have ``classes.txt`` or ``obj.names`` (labelImg, Label Studio, CVAT). A
line may be a box (5 numbers) or a polygon (7 and more), in one file too; with ``kpt_shape`` in the
YAML, key points follow the box. Four corners of an oriented box are a polygon.

Numbers refer to the picture after EXIF orientation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from corrlight.datasets.outlines import Shape, from_corners, from_polygon
from corrlight.datasets.pictures import PictureIndex, picture_frame, split_of_path, walk
from corrlight.datasets.records import (
    Annotation,
    Content,
    Ledger,
    Picture,
    ReadOptions,
    RecordError,
    number,
)
from corrlight.picture_files import is_picture

__all__ = ["read_yolo"]

_NAME_FILES = ("classes.txt", "obj.names")
# Shares may leave the picture; numbers of pixels are no shares.
_LOWEST, _HIGHEST = -1.0, 2.0


def read_yolo(source: Path, ledger: Ledger, options: ReadOptions) -> Content:
    """Return the pictures, boxes and polygons; classes are in the order of their numbers.

    Raises:
        ValueError: There are no class names, or no pictures.
    """
    config = _config_file(source)
    root = config.parent if config is not None else source
    data = _parsed(config) if config is not None else {}
    names = _names(data.get("names"), config) if data else _listed_names(source, options)
    keypoints = _keypoint_numbers(data)
    number_of_names = str(data.get("nc", len(names))).strip()
    if number_of_names != str(len(names)):
        ledger.note(f"nc is {number_of_names} in {config}, but {len(names)} classes have names")
    index = PictureIndex(options.images or root)
    found: dict[Path, set[str]] = {}
    for split in ("train", "val", "test") if data else ():
        for path in _split_pictures(data.get(split), data, root, index, ledger):
            found.setdefault(path, set()).add(split)
    if not any(data.get(split) for split in ("train", "val", "test")):
        found = {p: set(split_of_path(p, index.folder)) for p in index.paths}
    if not found:
        raise ValueError(f"Expected pictures for {source}, but found none (--images).")
    stems = {p.stem: p for p in walk(root) if p.suffix == ".txt"} if options.images else {}
    pictures, read = [], set[Path]()
    for path, splits in sorted(found.items()):
        with ledger.record(path):
            size = picture_frame(path, None, ledger)
            picture = Picture(path=path, size=size, splits=frozenset(splits), labelled=False)
            file = _label_file(path) or stems.get(path.stem)
            if file is not None:
                picture.labelled = True
                if file in read:
                    ledger.change("pictures with the labels of another of their name", path)
                read.add(file)
                picture.annotations = list(_lines(file, size, names, keypoints, ledger))
            pictures.append(picture)
    for file in sorted(p for folder in {f.parent for f in read} for p in folder.glob("*.txt")):
        if file not in read and file.name not in _NAME_FILES:
            ledger.drop("text files beside the labels that belong to no picture", file)
    return Content(pictures=pictures, classes=list(names.values()))


def _lines(
    file: Path, size: tuple[int, int], names: dict[int, str], keypoints: int, ledger: Ledger
) -> Iterator[Annotation]:
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise RecordError(f"{file} cannot be read as UTF-8 text") from None
    for k, line in enumerate(lines, 1):
        where = f"{file}: line {k}"
        with ledger.record(where):
            words = line.split()
            if not words:
                continue
            values = [number(word, "a value") for word in words]
            if values[0] not in names:
                known = f"0 to {max(names)}" if len(names) == max(names) + 1 else f"{list(names)}"
                raise RecordError(f"class {words[0]} has no name; there are {known}")
            if keypoints and len(values) == 5 + keypoints:
                ledger.drop("key points of an object", where)
                values = values[:5]
            shape = _shape(values[1:], size)
            yield Annotation(label=names[int(values[0])], shape=shape, where=where)


def _shape(values: list[float], size: tuple[int, int]) -> Shape:
    height, width = size
    outside = [v for v in values if not _LOWEST <= v <= _HIGHEST]
    if outside:
        raise RecordError(f"{outside[0]:g} is no share of the picture's size")
    if len(values) == 4:
        x, y, w, h = values[0] * width, values[1] * height, values[2] * width, values[3] * height
        return from_corners(x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    if len(values) >= 6 and len(values) % 2 == 0:
        xs, ys = values[::2], values[1::2]
        return from_polygon([(x * width, y * height) for x, y in zip(xs, ys, strict=True)])
    raise RecordError(
        f"{len(values) + 1} numbers are neither a box (5) nor a polygon (7, 9, 11, ...)"
    )


def _label_file(picture: Path) -> Path | None:
    """Return the labels of a picture: ``labels`` for the last ``images`` of its path, or beside."""
    candidates = [picture.with_suffix(".txt")]
    parts = list(picture.parts)
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index("images")
        candidates.insert(0, Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt"))
    return next((c for c in candidates if c.is_file()), None)


def _config_file(source: Path) -> Path | None:
    """Return the YAML file that a source is or has."""
    if source.is_file():
        return source
    files = [p for p in sorted(source.glob("*.y*ml")) if p.suffix in (".yaml", ".yml")]
    files = [p for p in files if "names" in _parsed(p)]
    if len(files) > 1:
        listed = ", ".join(p.name for p in files)
        raise ValueError(f"Expected one YAML file with names in {source}, but got {listed}.")
    return files[0] if files else None


def _parsed(path: Path) -> dict[str, Any]:
    try:
        # Every scalar stays text: to YAML, a class called no is False and one called 1_0 is 10.
        data = yaml.load(path.read_bytes(), yaml.BaseLoader)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"Expected {path} to be a YAML file, but {reason}.") from None
    if not isinstance(data, dict):
        raise ValueError(f"Expected {path} to be a YAML file with names, but got no mapping.")
    return data


def _names(names: Any, config: Path | None) -> dict[int, str]:
    """Return class number -> name; a mapping may have gaps and any order."""
    items = dict(enumerate(names)) if isinstance(names, list) else names
    if (
        not isinstance(items, dict)
        or not items
        or not all(isinstance(n, str) and n.strip() for n in items.values())
    ):
        raise ValueError(f"Expected `names` in {config} to be a list or mapping of class names.")
    try:
        numbered = {int(k): n for k, n in items.items()}
    except ValueError:
        raise ValueError(f"Expected the keys of `names` in {config} to be class numbers.") from None
    if len(set(numbered.values())) < len(numbered):
        raise ValueError(f"Expected `names` in {config} that differ.")
    return dict(sorted(numbered.items()))


def _listed_names(source: Path, options: ReadOptions) -> dict[int, str]:
    if options.classes:
        return dict(enumerate(options.classes))
    for file in walk(source):
        if file.name in _NAME_FILES:
            lines = [line.strip() for line in file.read_text("utf-8-sig").splitlines()]
            return _names([line for line in lines if line], file)
    raise ValueError(
        f"Expected class names for {source}: a data.yaml, classes.txt, obj.names or --classes."
    )


def _keypoint_numbers(data: dict[str, Any]) -> int:
    shape = data.get("kpt_shape")
    if isinstance(shape, list) and len(shape) == 2 and all(str(v).isdigit() for v in shape):
        return int(shape[0]) * int(shape[1])
    return 0


def _split_pictures(
    value: Any, data: dict[str, Any], root: Path, index: PictureIndex, ledger: Ledger
) -> Iterator[Path]:
    """Yield the pictures of a split: a folder, a text file of paths, or several of these."""
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, str) or item.lower() in ("", "null", "~"):
            continue
        place = _existing(item, data, root)
        if place.is_dir():
            yield from (p for p in walk(place) if is_picture(p.name))
            continue
        if place.suffix != ".txt":
            raise ValueError(f"Expected {place} to be a folder or a list of pictures (.txt).")
        for k, line in enumerate(place.read_text("utf-8-sig").splitlines(), 1):
            if line.strip():
                with ledger.record(f"{place}: line {k}"):
                    direct = [place.parent / line.strip(), root / line.strip()]
                    hit = next((p for p in direct if p.is_file()), None)
                    yield hit or index.find(line.strip(), near=place)


def _existing(item: str, data: dict[str, Any], root: Path) -> Path:
    # "../train/images" of Roboflow means "train/images"; `path` is often that of another machine.
    inner = item
    while inner.startswith("../"):
        inner = inner[3:]
    base = data.get("path")
    bases = [root / base] if isinstance(base, str) else []
    tried = [*(b / item for b in bases), root / item, root / inner]
    for place in tried:
        if place.exists():
            return place
    raise ValueError(f"Expected {item!r} of data.yaml below {root}, but {tried[0]} does not exist.")
