"""A mended copy of a set in our layout: all of it or nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from corrlight.atomic import atomic_folder
from corrlight.datasets.checking.content import same_content
from corrlight.datasets.checking.mending import (
    Record,
    mend_annotations,
    mend_categories,
    mend_images,
)
from corrlight.datasets.checking.splits import Split, folder_for
from corrlight.datasets.records import Ledger
from corrlight.json_files import read_json

__all__ = ["MendedSplit", "mend_set", "write_mended"]

_LISTS = ("images", "annotations", "categories")


class MendedSplit:
    """A split after mending.

    Args:
        name: Its name.
        content: The whole of its annotation file.
        paths: The picture of each image id.
    """

    def __init__(self, name: str, content: dict[str, Any], paths: dict[int, Path]) -> None:
        self.name = name
        self.content = content
        self.paths = paths

    def leave_out(self, image_ids: set[int]) -> None:
        """Leave images and what is annotated in them out."""
        keep = {"images": "id", "annotations": "image_id"}
        for key, which in keep.items():
            self.content[key] = [r for r in self.content[key] if r[which] not in image_ids]
        self.paths = {k: path for k, path in self.paths.items() if k not in image_ids}


def mend_set(splits: Sequence[Split], ledger: Ledger) -> list[MendedSplit]:
    """Return splits that have been mended, with one list of classes.

    Args:
        splits: The splits; the first one's classes keep their ids.
        ledger: Where everything that is left out or changed is counted.

    Raises:
        ValueError: A file is no COCO file, or has no pictures near it: that cannot be mended.
    """
    for split in splits:
        if split.name in ("", ".", "..") or set(split.name) & set("/\\"):
            raise ValueError(
                f"Expected annotation files of different names, but {split.path} is one of two."
            )
    mended, classes = [], []
    for split in splits:
        content = _content(split)
        names = [
            r["file_name"]
            for r in content["images"]
            if isinstance(r, dict) and isinstance(r.get("file_name"), str)
        ]
        folder = split.folder or folder_for(split.path, names)
        if folder is None:
            raise ValueError(
                f"Expected the pictures of {split.path} near it, but found none (--images DIR)."
            )
        categories = mend_categories(content["categories"], split.name, ledger)
        images, paths = mend_images(content["images"], folder, split.name, ledger)
        content["annotations"] = mend_annotations(
            content["annotations"], images, categories, split.name, ledger
        )
        content["images"] = list({record["id"]: record for record in images.values()}.values())
        mended.append(MendedSplit(split.name, content, paths))
        classes.append(categories)
    _join_classes(mended, classes, ledger)
    _part_pictures(mended, ledger)
    return mended


def _content(split: Split) -> dict[str, Any]:
    content = read_json(split.path, "COCO annotation file")
    lists = isinstance(content, dict) and all(isinstance(content.get(k), list) for k in _LISTS)
    if not lists:
        raise ValueError(
            f"Expected {split.path} to be an object with the lists {', '.join(_LISTS)}, but got "
            "something else, which cannot be mended."
        )
    return dict(content)


def _join_classes(
    splits: Sequence[MendedSplit], classes: Sequence[dict[int, Record]], ledger: Ledger
) -> None:
    """Give all splits the classes of all of them, with the ids of the first that has a class."""
    joined: dict[str, Record] = {}
    for split, categories in zip(splits, classes, strict=True):
        own = {record["name"]: record for record in categories.values()}
        if split is not splits[0]:
            news = [name for name in own if name not in joined]
            ledger.change("classes added to the other splits", split.name, len(news))
        for name, record in own.items():
            if name in joined:
                continue
            used = {r["id"] for r in joined.values()}
            identity = record["id"] if record["id"] not in used else max(used) + 1
            joined[name] = {**record, "id": identity}
        new = {record["id"]: joined[name]["id"] for name, record in own.items()}
        moved = sum(old != now for old, now in new.items())
        ledger.change("ids of classes made those of the first split", split.name, moved)
        for annotation in split.content["annotations"]:
            annotation["category_id"] = new[annotation["category_id"]]
    records = sorted(joined.values(), key=lambda record: int(record["id"]))
    for split in splits:
        split.content["categories"] = records


def _part_pictures(splits: Sequence[MendedSplit], ledger: Ledger) -> None:
    """Leave pictures out that a later split has as well: what is measured stays."""
    ids = {split.name: list(split.paths) for split in splits}
    paths = {split.name: [str(path) for path in split.paths.values()] for split in splits}
    order = [split.name for split in splits]
    dropped: dict[str, set[int]] = {name: set() for name in order}
    for group in same_content(paths):
        last = max(order.index(name) for name, _ in group)
        for name, place in group:
            if order.index(name) < last:
                dropped[name].add(ids[name][place])
    for split in splits:
        reason = f"pictures of {split.name} that another split has as well"
        for identity in sorted(dropped[split.name]):
            ledger.drop(reason, split.paths[identity])
        split.leave_out(dropped[split.name])


def write_mended(
    splits: Sequence[MendedSplit], out: Path, link: bool, step: Callable[[], None]
) -> None:
    """Write ``annotations/SPLIT.json`` and the pictures of every split; all of it or nothing.

    Args:
        splits: What to write.
        out: The folder to make.
        link: Whether pictures are hard links instead of copies.
        step: Called after every picture.

    Raises:
        ValueError: There is something at ``out``.
        OSError: It cannot be written.
    """
    with atomic_folder(out) as folder:
        (folder / "annotations").mkdir()
        for split in splits:
            text = json.dumps(split.content, ensure_ascii=False, separators=(",", ":"))
            file = folder / "annotations" / f"{split.name}.json"
            file.write_text(f"{text}\n", encoding="utf-8")
            for record in split.content["images"]:
                target = folder / split.name / record["file_name"]
                target.parent.mkdir(parents=True, exist_ok=True)
                source = split.paths[record["id"]]
                if link:
                    target.hardlink_to(source.resolve())
                else:
                    shutil.copyfile(source, target)
                step()
            (folder / split.name).mkdir(exist_ok=True)
