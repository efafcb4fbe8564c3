"""Where the pictures and annotation files of a COCO-format folder lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Layout", "complete_layout", "find_layout"]

# What tools call the splits; the first name is ours.
_SPLITS = {
    "train": ("train", "train2017", "training"),
    "val": ("val", "valid", "val2017", "validation"),
    "test": ("test", "test2017", "testing"),
}
_FILES = (
    "annotations/{}.json", "annotations/instances_{}.json", "{}/_annotations.coco.json",
    "images/{}/_annotations.coco.json", "{}.json",
)  # fmt: skip
_FOLDERS = ("{}", "images/{}", "images")


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths relative to the folder of the data.

    Attributes:
        images: Folder of the pictures.
        annotations: Annotation file.
    """

    images: str
    annotations: str


def complete_layout(
    root: Path, split: str, images: str | None = None, annotations: str | None = None
) -> Layout:
    """Return a layout of what is given, and of what :func:`find_layout` finds for the rest."""
    if annotations is None:
        found = find_layout(root, split)
        return Layout(images or found.images, found.annotations)
    return Layout(images or _folder(root, _SPLITS[split], annotations), annotations)


def find_layout(root: Path, split: str) -> Layout:
    """Return where a split lies: our own layout, COCO's, Roboflow's or ``images/train``.

    Nothing is opened. Where nothing is found it is our layout, ``annotations/train.json`` and
    ``train/``, so that whoever needs the files can say what is missing.

    Args:
        root: The folder of the data.
        split: "train", "val" or "test".

    Raises:
        ValueError: Several annotation files may be meant; an option has to name one.
    """
    names = _SPLITS[split]
    found = [
        (name, file) for name in names for file in (f.format(name) for f in _FILES)
        if (root / file).is_file()
    ]  # fmt: skip
    if len(found) > 1:
        listed = ", ".join(file for _, file in found)
        raise ValueError(
            f"Expected one annotation file of the {split} pictures in {root}, but got {listed}: "
            f"data.{split}_annotations= and data.{split}_images= name what is meant."
        )
    if not found:
        return Layout(names[0], _FILES[0].format(names[0]))
    name, file = found[0]
    return Layout(_folder(root, (name,), file), file)


def _folder(root: Path, names: Sequence[str], file: str) -> str:
    """Return the folder of the pictures of an annotation file."""
    folders = [folder.format(name) for name in names for folder in _FOLDERS]
    if file.endswith("/_annotations.coco.json"):
        folders.insert(0, file.rpartition("/")[0])  # Roboflow writes it among the pictures.
    return next((folder for folder in folders if (root / folder).is_dir()), folders[0])
