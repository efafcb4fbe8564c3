"""The splits of a set: annotation files and the folders of their pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corrlight.data.fitting.layout import find_layout
from corrlight.datasets.checking.problems import Problem

__all__ = ["Split", "find_splits", "folder_for"]

_SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """An annotation file and its pictures.

    Attributes:
        name: "train", or what its file is called.
        path: The file.
        folder: The folder of its pictures; None if there is none or nobody knows.
    """

    name: str
    path: Path
    folder: Path | None


def find_splits(
    sources: Sequence[Path], images: Path | None = None
) -> tuple[list[Split], list[Problem]]:
    """Return the splits that folders and annotation files have.

    Args:
        sources: Folders in a layout of ``data=coco_custom``, or annotation files.
        images: Folder of the pictures of annotation files; None looks for it.

    Returns:
        The splits, and what is wrong with the layout.

    Raises:
        ValueError: A source is not there or is no set.
    """
    splits: list[Split] = []
    problems: list[Problem] = []
    for source in sources:
        if source.is_dir():
            found, wrong = _of_root(source)
            splits += found
            problems += wrong
        elif source.is_file():
            splits.append(Split(name=_name(source), path=source, folder=images))
        else:
            raise ValueError(f"Expected a folder or an annotation file, but got {source}.")
    names = [split.name for split in splits]
    if len(set(names)) < len(names):
        splits = [
            Split(name=str(split.path), path=split.path, folder=split.folder) for split in splits
        ]
    return splits, problems


def _of_root(root: Path) -> tuple[list[Split], list[Problem]]:
    splits, problems = [], []
    for name in _SPLITS:
        try:
            layout = find_layout(root, name)
        except ValueError as error:
            problems.append(Problem(kind="layout", level="error", where=name, text=str(error)))
            continue
        path, folder = root / layout.annotations, root / layout.images
        if path.is_file():
            splits.append(Split(name=name, path=path, folder=folder if folder.is_dir() else None))
            if not folder.is_dir():
                problems.append(
                    Problem(
                        kind="no_folder",
                        level="error",
                        where=name,
                        text=f"no folder of pictures beside {path}",
                        way_out=f"data.{name}_images= names it.",
                    )
                )
    if not splits and not problems:
        raise ValueError(_no_set(root))
    found = {split.name for split in splits} | {p.where for p in problems}
    for name in ("train", "val"):
        if name not in found:
            problems.append(_missing(root, name))
    return splits, problems


def _missing(root: Path, name: str) -> Problem:
    way_out = f"data.{name}_annotations= names it"
    if name == "val":
        way_out += f"; corrlight data split {root} --val 0.2 --out {root}_split draws one"
    return Problem(
        kind="no_split",
        level="error",
        where=name,
        text=f"no annotation file of the {name} pictures",
        way_out=f"{way_out}.",
    )


def _no_set(root: Path) -> str:
    text = (
        f"Expected {root} to hold annotations/train.json, train/_annotations.coco.json or another "
        "layout of data=coco_custom, but it has none"
    )
    kinds = {
        "voc": ("Annotations/*.xml", "*.xml", "*/*.xml"),
        "yolo": ("data.yaml", "data.yml", "classes.txt", "labels/*.txt", "labels/*/*.txt"),
    }
    for kind, patterns in kinds.items():
        if any(next(root.glob(pattern), None) for pattern in patterns):
            return f"{text}: corrlight data import {kind} {root} --out ROOT makes it one."
    return f"{text}; corrlight data import makes one of other formats."


def _name(path: Path) -> str:
    if path.name == "_annotations.coco.json":
        return path.parent.name
    return path.stem.removeprefix("instances_")


def folder_for(path: Path, names: Sequence[str]) -> Path | None:
    """Return the folder near an annotation file that has its pictures, or None.

    Args:
        path: The annotation file.
        names: The file names in it; the first is looked for.
    """
    first = next((name for name in names if name), None)
    if first is None:
        return None
    up, stem = path.absolute().parent.parent, path.stem.removeprefix("instances_")
    here = path.parent
    folders = (up / stem, up / "images" / stem, here / stem, here / "images", up / "images", here)
    return next((folder for folder in folders if os.path.isfile(folder / first)), None)
