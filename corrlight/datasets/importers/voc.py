"""Pascal VOC: one XML file a picture, splits as lists of names.

Read are ``Annotations/``, ``JPEGImages/`` and ``ImageSets/Main/`` as VOC has them (one year or
several), and XML files beside their pictures in folders such as ``train/``. A picture is the one
called as its XML file, since ``<filename>`` survives renaming.

Source: the VOC2012 development kit, section 8: pixels are counted from 1 and a box includes its
last pixel, so a box starts at ``xmin - 1`` and is ``xmax - xmin + 1`` wide.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element

from corrlight.datasets.outlines import Shape, from_corners
from corrlight.datasets.pictures import (
    PictureIndex,
    picture_frame,
    split_of_path,
    walk,
)
from corrlight.datasets.records import (
    Annotation,
    Content,
    Ledger,
    Picture,
    ReadOptions,
    RecordError,
    number,
)
from corrlight.datasets.xml_files import read_xml
from corrlight.picture_files import is_picture

__all__ = ["read_voc"]

_FLAGS = ("difficult", "truncated", "occluded")


def read_voc(source: Path, ledger: Ledger, options: ReadOptions) -> Content:
    """Return the pictures and boxes of a folder; classes are not declared.

    Raises:
        ValueError: It is no folder with XML files.
    """
    files = [p for p in walk(source) if p.suffix.lower() == ".xml"]
    if not files:
        raise ValueError(f"Expected a folder with Pascal VOC files (.xml), but got {source}.")
    index = PictureIndex(options.images or source)
    lists = _lists(source, ledger)
    pictures, seen = [], dict[Path, Path]()
    for file in files:
        with ledger.record(file):
            picture = _picture(file, index, ledger, options)
            if picture.path in seen:
                raise RecordError(f"{picture.path} is annotated in {seen[picture.path]} too")
            seen[picture.path] = file
            pictures.append(picture)
    folders = {path.parent for path in seen}
    # By name: the picture of a broken XML file is not one without objects.
    stems = {file.stem.casefold() for file in files}
    for path in index.paths:
        if path.parent in folders and path.stem.casefold() not in stems:
            with ledger.record(path):
                size = picture_frame(path, None, ledger)
                pictures.append(Picture(path=path, size=size, labelled=False))
    _set_splits(pictures, lists, source)
    known = stems | {picture.path.stem.casefold() for picture in pictures}
    for (year, name), listed in lists.items():
        for stem in sorted(listed - known):
            ledger.problems.append(f"{year}/ImageSets/Main/{name}.txt: no picture for {stem!r}")
    if options.zero_based:
        ledger.note("corners read as edges counted from 0 (--zero-based)")
    else:
        ledger.note(
            "corners read as VOC defines them: counted from 1, the last pixel included "
            "(--zero-based for tools that write edges, as labelImg does)"
        )
    if any(p.name.startswith("SegmentationObject") for p in source.rglob("Segmentation*")):
        ledger.note("masks in SegmentationObject are not read, boxes alone")
    return Content(pictures=sorted(pictures, key=lambda p: p.path))


def _picture(file: Path, index: PictureIndex, ledger: Ledger, options: ReadOptions) -> Picture:
    root = read_xml(file)
    if root.tag != "annotation":
        raise RecordError(f"its root is <{root.tag}>, not the <annotation> of Pascal VOC")
    name = (root.findtext("filename") or "").strip()
    path = index.find_stem(file.stem, name, file)
    if name and Path(name.replace("\\", "/")).stem != file.stem:
        ledger.change("<filename> that names another picture than the XML file ignored", file)
    texts = [root.findtext(f"size/{key}") for key in ("height", "width")]
    declared = None
    if all(text is not None for text in texts):
        height, width = (int(number(text, "size")) for text in texts)
        declared = (height, width)
    else:
        ledger.change("sizes that the annotations lack taken from the picture", file)
    size = picture_frame(path, declared, ledger, ignore_size=options.ignore_size)
    picture = Picture(path=path, size=size)
    for k, element in enumerate(root.findall("object"), 1):
        where = f"{file}: object {k}"
        with ledger.record(where):
            picture.annotations += _object(element, where, ledger, options.zero_based)
    return picture


def _object(element: Element, where: str, ledger: Ledger, zero_based: bool) -> list[Annotation]:
    label = (element.findtext("name") or "").strip()
    if not label:
        raise RecordError("it has no <name>")
    # Direct children: the parts of a person have names and boxes too.
    box = element.find("bndbox")
    if box is None:
        raise RecordError("it has no <bndbox>")
    corners = [number(box.findtext(key), key) for key in ("xmin", "ymin", "xmax", "ymax")]
    extra = {}
    for key in _FLAGS:
        text = (element.findtext(key) or "").strip()
        if text in ("0", "1"):
            extra[key] = int(text)
    ledger.drop("second boxes of an object", where, len(element.findall("bndbox")) - 1)
    for key in ("part", "polygon"):
        ledger.drop(f"<{key}> of an object", where, len(element.findall(key)))
    if corners[:2] == corners[2:]:
        # A click, under either way of counting.
        ledger.drop("boxes whose two corners are the same point", where)
        return []
    if not zero_based and min(corners[:2]) < 1:
        ledger.change("boxes that start at 0, before the first pixel: perhaps --zero-based", where)
    shape = _shape(corners, zero_based)
    return [Annotation(label=label, shape=shape, where=where, extra=extra)]


def _shape(corners: list[float], zero_based: bool) -> Shape:
    left, top, right, bottom = corners
    first = 0 if zero_based else 1
    return from_corners(left - first, top - first, right, bottom)


def _lists(source: Path, ledger: Ledger) -> dict[tuple[Path, str], set[str]]:
    """Return the stems of every list: ``(folder of ImageSets, "train") -> {"000001", ...}``."""
    lists: dict[tuple[Path, str], set[str]] = {}
    for file in walk(source):
        if file.suffix == ".txt" and file.parts[-3:-1] == ("ImageSets", "Main"):
            # "aeroplane_train.txt" is of one class, with 1 or -1 behind the names.
            if re.search(r"_(train|val|trainval|test)$", file.stem):
                continue
            with ledger.record(file):
                try:
                    lines = file.read_text("utf-8-sig").splitlines()
                except (OSError, UnicodeDecodeError):
                    raise RecordError("it cannot be read as UTF-8 text") from None
                lists[file.parents[2], file.stem] = {_stem(n) for n in lines if n.strip()}
    return lists


def _stem(line: str) -> str:
    path = Path(line.strip().replace("\\", "/"))
    return (path.stem if is_picture(path.name) else path.name).casefold()


def _set_splits(
    pictures: list[Picture], lists: dict[tuple[Path, str], set[str]], source: Path
) -> None:
    """Put pictures into the lists that name them, or else into the folders that they lie in."""
    one_year = len({year for year, _ in lists}) == 1
    for picture in pictures:
        path, stem = picture.path, picture.path.stem.casefold()
        if lists:
            picture.splits = frozenset(
                name
                for (year, name), stems in lists.items()
                if stem in stems and (one_year or path.is_relative_to(year))
            )
        elif path.is_relative_to(source):
            picture.splits = split_of_path(path, source)
