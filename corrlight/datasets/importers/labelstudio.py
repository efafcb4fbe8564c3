"""Label Studio: the JSON export, one file with a task a picture; numbers are percent of its size.

Rectangles (turned clockwise around their first corner), ellipses, polygons and brushes are read.
Of several annotations of a task it is the one marked as ground truth, or else the newest. Key
points have no box.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import numpy.typing as npt

from corrlight.datasets.outlines import (
    ELLIPSE_CORNERS,
    Shape,
    from_bitmap,
    from_ellipse,
    from_polygon,
    from_turned_box,
)
from corrlight.datasets.pictures import PictureIndex, picture_frame, split_of_path
from corrlight.datasets.records import (
    Annotation,
    Content,
    Ledger,
    Picture,
    ReadOptions,
    RecordError,
    entry,
    number,
    pairs,
)
from corrlight.json_files import read_json
from corrlight.picture_files import is_picture

__all__ = ["read_labelstudio"]

_SHAPES = ("rectangle", "ellipse", "polygon", "brush")


def read_labelstudio(source: Path, ledger: Ledger, options: ReadOptions) -> Content:
    """Return the pictures and regions of an export; classes are not declared.

    Args:
        source: The JSON file, or a folder with one.
        ledger: What was left out.
        options: Where the pictures are.

    Raises:
        ValueError: It is no JSON export.
    """
    file = source
    if source.is_dir():
        files = sorted(source.glob("*.json"))
        if len(files) != 1:
            raise ValueError(f"Expected one JSON export in {source}, but found {len(files)}.")
        file = files[0]
    tasks = read_json(file, "JSON export of Label Studio")
    if not isinstance(tasks, list) or not all(isinstance(t, dict) and "data" in t for t in tasks):
        raise ValueError(
            f"Expected {file} to be a list of tasks (Label Studio's export JSON, not JSON-MIN)."
        )
    index = PictureIndex(options.images or file.parent)
    pictures: dict[Path, Picture] = {}
    for k, task in enumerate(tasks):
        where = f"{file}: task {task.get('id', k)}"
        with ledger.record(where):
            annotation = _chosen(task, where, ledger)
            if annotation is None:
                continue
            path = _path(task["data"], index)
            if path in pictures:
                raise RecordError(f"{path} is in another task too")
            results = annotation.get("result") or []
            regions = list(_regions(results, where, ledger))
            # Percent fit any size; the declared one says whether the picture lay on its side.
            size = picture_frame(path, _size(regions), ledger, ignore_size=True)
            picture = Picture(
                path=path,
                size=size,
                splits=split_of_path(path, index.folder),
                labelled=bool(annotation),
            )
            pictures[path] = picture
            for number_, (region, label) in enumerate(regions, 1):
                place = f"{where}, region {region.get('id', number_)}"
                with ledger.record(place):
                    shape = _shape(region, size, place, ledger)
                    picture.annotations.append(Annotation(label=label, shape=shape, where=place))
    return Content(pictures=sorted(pictures.values(), key=lambda p: p.path))


def _chosen(task: dict[str, Any], where: str, ledger: Ledger) -> dict[str, Any] | None:
    """Return the annotation of a task that counts; empty if it has none, None if it was skipped."""
    ledger.drop("predictions of models", where, len(task.get("predictions") or []))
    every = [a for a in entry(task, "annotations", list) if isinstance(a, dict)]
    valid = [a for a in every if not a.get("was_cancelled")]
    if every and not valid:
        ledger.drop("tasks that were skipped", where)
        return None
    if not valid:
        return {}
    # Times are ISO 8601: the newest is the largest text.
    valid.sort(key=lambda a: (bool(a.get("ground_truth")), str(a.get("updated_at") or "")))
    ledger.drop("further annotations of the same task", where, len(valid) - 1)
    return valid[-1]


def _path(data: Any, index: PictureIndex) -> Path:
    texts = [v for v in data.values() if isinstance(v, str)] if isinstance(data, dict) else []
    names = [name for name in map(_name, texts) if is_picture(name)]
    if len(names) != 1:
        raise RecordError(f"data has {len(names)} paths of pictures, not one")
    try:
        return index.find(names[0])
    except RecordError:
        # An upload is stored behind eight hexadecimal digits.
        folder, _, last = names[0].rpartition("/")
        short = re.sub(r"^[0-9a-f]{8}-", "", last)
        if short == last:
            raise
        return index.find(f"{folder}/{short}")


def _name(text: str) -> str:
    """Return the path in a URL: "/data/local-files/?d=a/b.jpg" is of a query."""
    parts = urlsplit(text)
    inner = parse_qs(parts.query).get("d")
    return inner[0] if inner else unquote(parts.path) if parts.scheme else parts.path


def _regions(results: Any, where: str, ledger: Ledger) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the results with a shape and their label, which may be in another of the same id."""
    if not isinstance(results, list) or not all(isinstance(r, dict) for r in results):
        raise RecordError("result is no list of objects")
    labels: dict[Any, list[str]] = {}
    for k, result in enumerate(results):
        value, kind = result.get("value"), str(result.get("type", ""))
        found = value.get(kind) if isinstance(value, dict) else None
        if kind.endswith("labels") and isinstance(found, list):
            labels.setdefault(result.get("id", k), []).extend(
                name for name in map(str, found) if name.strip()
            )
    done = set()
    for k, result in enumerate(results):
        key, kind = result.get("id", k), str(result.get("type", ""))
        if kind == "labels" or key in done:
            continue
        form = kind.removesuffix("labels")
        if form not in _SHAPES:
            ledger.drop(f"results without a box ({kind})", where)
            continue
        done.add(key)
        names = list(dict.fromkeys(labels.get(key, [])))
        if not names:
            ledger.drop("regions without a label", where)
            continue
        ledger.drop("second labels of a region", where, len(names) - 1)
        yield {**result, "form": form}, names[0]


def _size(regions: list[tuple[dict[str, Any], str]]) -> tuple[int, int] | None:
    values = (
        [regions[0][0].get(f"original_{key}") for key in ("height", "width")] if regions else []
    )
    height, width = (int(number(v, "original size")) if v else 0 for v in values or (0, 0))
    return (height, width) if height and width else None


def _shape(region: dict[str, Any], size: tuple[int, int], where: str, ledger: Ledger) -> Shape:
    value, form = entry(region, "value", dict), region["form"]
    if region.get("image_rotation"):
        raise RecordError("it was drawn on a turned view (image_rotation)")
    height, width = size
    if form == "brush":
        declared = (region.get("original_height"), region.get("original_width"))
        if declared != size:
            raise RecordError(
                f"a brush on {declared[1]}x{declared[0]}, but {width}x{height} pixels"
            )
        return from_bitmap(_brush(entry(value, "rle", list), size))
    if form == "polygon":
        points = pairs(entry(value, "points", list), "points")
        if len(points) < 3:
            raise RecordError(f"a polygon of {len(points)} points")
        return from_polygon([(x * width / 100, y * height / 100) for x, y in points])
    keys = ("x", "y", "radiusX", "radiusY") if form == "ellipse" else ("x", "y", "width", "height")
    x, y, a, b = (number(value.get(key), key) / 100 for key in keys)
    degrees = number(value.get("rotation", 0), "rotation")
    if form == "ellipse":
        ledger.change(f"ellipses drawn as polygons of {ELLIPSE_CORNERS} corners", where)
        return from_ellipse((x * width, y * height), (a * width, b * height), degrees)
    return from_turned_box((x * width, y * height), a * width, b * height, degrees)


def _brush(data: list[Any], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return the mask of a brush: the alpha channel of RGBA pixels in runs of bits.

    A stream of bits: 32 of the number of values, 5 of their bits less one, four times 4 of the
    lengths of counts less one; then blocks of 1 bit (repeated or not), 2 of the length of their
    count, the count less one, and one value or as many as counted.
    """
    height, width = size
    try:
        bits = "".join(f"{byte:08b}" for byte in bytes(data))
    except (TypeError, ValueError):
        raise RecordError("rle is no list of bytes") from None
    place = 0

    def read(count: int) -> int:
        nonlocal place
        place += count
        if place > len(bits):
            raise RecordError("rle ends too early")
        return int(bits[place - count : place], 2)

    total, word = read(32), read(5) + 1
    if total != 4 * height * width:
        raise RecordError(f"rle has {total} values, not four a pixel")
    lengths = [read(4) + 1 for _ in range(4)]
    values = np.zeros(total, np.uint8)
    k = 0
    while k < total:
        repeated = read(1)
        count = read(lengths[read(2)]) + 1
        if k + count > total:
            raise RecordError("rle has too many values")
        if repeated:
            values[k : k + count] = read(word) > 0
        else:
            values[k : k + count] = [read(word) > 0 for _ in range(count)]
        k += count
    return values.reshape(height, width, 4)[:, :, 3]
