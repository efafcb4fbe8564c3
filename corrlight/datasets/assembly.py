"""What readers returned, cleaned, divided into splits and written as COCO files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from corrlight.datasets.cleaning import cleaned
from corrlight.datasets.records import Content, Ledger, Picture
from corrlight.datasets.splitting import divided, relative_names, with_new_splits

__all__ = ["Dataset", "assemble"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A set as it is written.

    Attributes:
        splits: Pictures of each split, in order.
        names: Their file names, in the same order.
        origin: What the source calls each split; empty where it was made here.
        categories: COCO records of the classes, in the order of labels.
        image_ids: Of the pictures of each split; the source's where they can be kept.
        annotation_ids: Of all objects of each split, in the order of pictures.
    """

    splits: dict[str, list[Picture]]
    names: dict[str, list[str]]
    origin: dict[str, list[str]]
    categories: list[dict[str, Any]]
    image_ids: dict[str, list[int]]
    annotation_ids: dict[str, list[int]]


def assemble(
    contents: Sequence[Content],
    ledger: Ledger,
    *,
    splits: Mapping[str, list[str]] | None = None,
    val: float = 0.0,
    test: float = 0.0,
    seed: int = 0,
    classes: Sequence[str] = (),
    difficult: str = "keep",
    clip: bool = False,
    labelled_only: bool = False,
) -> Dataset:
    """Return the set that some sources make.

    Args:
        contents: Of the sources.
        ledger: Where everything that is left out or changed is counted.
        splits: Ours -> the source's; None takes those of the same meaning.
        val: Share of the training pictures that becomes "val".
        test: Share that becomes "test".
        seed: Of these draws.
        classes: All classes in order, objects of others are left out; empty keeps all.
        difficult: What objects marked as difficult are: "keep", "crowd" or "drop".
        clip: Whether boxes are cut at the border of the picture.
        labelled_only: Whether pictures that nobody annotated are left out.

    Raises:
        ValueError: There is nothing left, or the splits do not fit.
    """
    pictures = [p for content in contents for p in content.pictures]
    if labelled_only:
        unlabelled = [p for p in pictures if not p.labelled]
        for picture in unlabelled:
            ledger.drop("pictures without annotations (--labelled-only)", picture.path)
        pictures = [p for p in pictures if p.labelled]
    for picture in pictures:
        if not picture.labelled:
            ledger.change("pictures without annotations taken as empty", picture.path)
        keep = [cleaned(a, picture, ledger, difficult, clip) for a in picture.annotations]
        picture.annotations = [a for a in keep if a is not None]
    categories = _categories(contents, pictures, classes, ledger)
    parts, origin = divided(pictures, splits, ledger)
    if val or test:
        parts = with_new_splits(parts, {"val": val, "test": test}, seed)
    if not any(parts.values()):
        raise ValueError("Expected pictures, but none are left.")
    names = {split: _names(members, ledger) for split, members in parts.items()}
    image_ids, annotation_ids = {}, {}
    next_image, next_annotation = 1, 1
    for split, members in parts.items():
        old = [p.identity for p in members]
        image_ids[split] = _ids(old, next_image, 0, f"image ids of {split}", ledger)
        next_image += len(old)
        old = [a.identity for p in members for a in p.annotations]
        annotation_ids[split] = _ids(old, next_annotation, 1, f"annotation ids of {split}", ledger)
        next_annotation += len(old)
    return Dataset(
        splits=parts,
        names=names,
        origin=origin,
        categories=categories,
        image_ids=image_ids,
        annotation_ids=annotation_ids,
    )


def _ids(
    old: Sequence[int | None], first: int, lowest: int, what: str, ledger: Ledger
) -> list[int]:
    """Return the ids of the source if all can be kept, or else numbers from ``first`` on."""
    # pycocotools takes annotation 0 for "not matched".
    kept = [k for k in old if k is not None and k >= lowest]
    if len(kept) == len(old) == len(set(kept)):
        return kept
    if any(k is not None for k in old):
        ledger.note(f"{what} are new: the source's repeat or are not positive")
    return list(range(first, first + len(old)))


def _categories(
    contents: Sequence[Content],
    pictures: Iterable[Picture],
    classes: Sequence[str],
    ledger: Ledger,
) -> list[dict[str, Any]]:
    """Return the records of the classes: as declared, or else sorted by name."""
    used = {a.label for p in pictures for a in p.annotations}
    declared = list(dict.fromkeys(name for content in contents for name in content.classes))
    order = [*classes] or [*declared, *sorted(used - set(declared))]
    for picture in pictures:
        for annotation in picture.annotations:
            if classes and annotation.label not in classes:
                ledger.drop("objects of other classes (--classes)", annotation.where)
        picture.annotations = [a for a in picture.annotations if a.label in order]
    if not order:
        reasons = [f"{t.count:,} {reason} ({t.first})" for reason, t in ledger.left_out.items()]
        gone = f" Left out: {'; '.join(reasons)}." if reasons else ""
        raise ValueError(f"Expected objects, but there are none, and no names of classes.{gone}")
    records: dict[str, dict[str, Any]] = {}
    for content in reversed(contents):
        records |= content.categories
    # A list of the user has an order of its own, which ids have to follow.
    keep_ids = not classes and all(name in records for name in order)
    ids = [records[name]["id"] for name in order] if keep_ids else []
    if len(set(ids)) < len(order) or ids != sorted(ids):
        ids = list(range(1, len(order) + 1))
        if records:
            ledger.note("category ids are new, 1 to the number of classes")
    return [
        {**records.get(name, {}), "id": k, "name": name} for k, name in zip(ids, order, strict=True)
    ]


def _names(pictures: Sequence[Picture], ledger: Ledger) -> list[str]:
    """Return file names: those of a COCO file if they can be kept, or relative paths."""
    kept = [p.name for p in pictures if p.name is not None and _is_inside(p.name)]
    if len(kept) == len(pictures) == len({name.casefold() for name in kept}):
        return kept
    names = relative_names([p.path for p in pictures])
    for k, picture in enumerate(pictures):
        if picture.content is not None:
            png = picture.content.startswith(b"\x89PNG")
            names[k] = str(PurePosixPath(names[k]).with_suffix(".png" if png else ".jpg"))
    seen: dict[str, Picture] = {}
    for name, picture in zip(names, pictures, strict=True):
        other = seen.setdefault(name.casefold(), picture)
        if other is not picture:
            ledger.problems.append(f"{picture.path}: the same name as {other.path}")
    return names


def _is_inside(name: str) -> bool:
    paths = (PurePosixPath(name), PureWindowsPath(name))
    return not any(p.is_absolute() or p.drive or ".." in p.parts for p in paths)
