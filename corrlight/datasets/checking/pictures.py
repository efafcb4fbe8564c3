"""Picture files against what the annotations say of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from corrlight.coco.annotation_file.images import is_inside
from corrlight.coco.annotation_file.table import AnnotationTable
from corrlight.coco.findings import KEPT
from corrlight.data.images import FaultKind, PictureFault, picture_faults
from corrlight.datasets.checking.content import same_content
from corrlight.datasets.checking.problems import Problem, counted
from corrlight.datasets.checking.splits import Split
from corrlight.picture_files import is_picture

__all__ = ["PictureFiles", "look_at_pictures", "shared_pictures"]

_KINDS: dict[FaultKind, tuple[str, str, str]] = {
    "missing": ("missing_picture", "missing from the folder", ""),
    "damaged": ("damaged_picture", "damaged or cut off", ""),
    "size": (
        "picture_size",
        "of another size than annotated",
        "corrlight data import coco --ignore-size takes the size from the picture.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFiles:
    """The picture files of a split.

    Attributes:
        rows: Places of the images in the table that have a usable file name.
        names: Their file names.
        faults: What is wrong with them; ``index`` counts in ``rows``.
        other_names: Of missing ones, those that are there in other letters: name -> name.
    """

    rows: list[int]
    names: list[str]
    faults: list[PictureFault]
    other_names: dict[str, str]

    def good(self) -> list[int]:
        """Return places in ``rows`` of the pictures that can be read."""
        bad = {fault.index for fault in self.faults if fault.kind != "size"}
        return [k for k in range(len(self.rows)) if k not in bad]


def look_at_pictures(
    split: Split, table: AnnotationTable, decode: bool = False
) -> tuple[PictureFiles, list[Problem]]:
    """Return the picture files of a split and what is wrong with them.

    Args:
        split: The split; it has a folder.
        table: Its annotations.
        decode: Whether to decode all of them instead of looking at their header and end.
    """
    assert split.folder is not None
    outside = _outside(table)
    rows = [k for k, name in enumerate(table.file_names) if name and k not in outside]
    names = [table.file_names[k] for k in rows]
    sizes = [
        (height, width) if height and width else None
        for height, width in table.sizes[rows].tolist()
    ]
    faults = picture_faults(split.folder, names, sizes, "decode" if decode else "quick")
    in_folder = _files(split.folder)
    by_letters = {name.casefold(): name for name in in_folder}
    missing = [names[fault.index] for fault in faults if fault.kind == "missing"]
    other = {name: by_letters[name.casefold()] for name in missing if name.casefold() in by_letters}
    problems = []
    for kind, (word, title, way_out) in _KINDS.items():
        those = [fault for fault in faults if fault.kind == kind]
        if not those:
            continue
        if kind == "missing":
            way_out = _way_to_missing(split, len(those) == len(names), bool(other))
        lines = [
            fault.text + (f" (there is {near})" if (near := other.get(names[fault.index])) else "")
            for fault in those[:KEPT]
        ]
        problems.append(
            Problem(
                kind=word,
                level="error",
                where=split.name,
                count=len(those),
                text=f"{counted(len(those), 'picture')} {title}",
                examples=tuple(line.removeprefix("image ") for line in lines),
                way_out=way_out,
            )
        )
    strangers = sorted(set(in_folder) - set(names) - set(other.values()))
    if strangers:
        problems.append(
            Problem(
                kind="unlisted_picture",
                level="note",
                where=split.name,
                count=len(strangers),
                text=f"{counted(len(strangers), 'picture')} in {split.folder} not in the file",
                examples=tuple(strangers[:KEPT]),
                way_out="They are not used.",
            )
        )
    return PictureFiles(rows=rows, names=names, faults=faults, other_names=other), problems


def _outside(table: AnnotationTable) -> set[int]:
    """Return the images whose name leaves the folder: those are not looked at."""
    if "outside_folder" not in table.findings:
        return set()
    return {k for k, name in enumerate(table.file_names) if name and not is_inside(name)}


def _files(folder: Path) -> list[str]:
    """Return the pictures below a folder, relative to it and with ``/``."""
    found = []
    for base, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        begin = os.path.relpath(base, folder).replace(os.sep, "/")
        begin = "" if begin == "." else f"{begin}/"
        found += [begin + file for file in files if is_picture(file) and not file.startswith(".")]
    return found


def _way_to_missing(split: Split, all_missing: bool, other: bool) -> str:
    if other:
        return "Capital and small letters of file names count."
    if all_missing:
        return f"data.{split.name}_images= (of check: --images) names the folder they are in."
    return ""


def shared_pictures(
    files: Mapping[str, PictureFiles], folders: Mapping[str, Path]
) -> list[Problem]:
    """Return which pictures come more than once, within splits and in several.

    Args:
        files: Of every split.
        folders: The same splits.
    """
    good = {split: f.good() for split, f in files.items()}
    # One file that comes twice in a list is found by its name.
    paths = {
        split: [os.path.join(folders[split], files[split].names[k]) for k in rows]
        for split, rows in good.items()
    }
    pairs: dict[tuple[str, ...], list[str]] = {}
    for group in same_content(paths):
        members: dict[str, list[str]] = {}
        for split, place in group:
            members.setdefault(split, []).append(files[split].names[good[split][place]])
        first = {split: names[0] for split, names in members.items()}
        splits = list(first)
        for k, one in enumerate(splits):
            if len(set(members[one])) > 1:
                pairs.setdefault((one,), []).append(" = ".join(dict.fromkeys(members[one])))
            for other in splits[k + 1 :]:
                line = f"{one}: {first[one]} = {other}: {first[other]}"
                pairs.setdefault((one, other), []).append(line)
    return [_shared(where, lines) for where, lines in sorted(pairs.items())]


def _shared(where: Sequence[str], lines: Sequence[str]) -> Problem:
    count = len(lines)
    if len(where) == 1:
        kind, text = "repeated_picture", f"{counted(count, 'picture')} more than once (by content)"
        way_out = "Several copies of a picture count several times."
    else:
        kind = "shared_picture"
        text = f"{counted(count, 'picture')} in both (by content)"
        way_out = "Measured on what it was trained on, a detector looks better than it is."
    return Problem(
        kind=kind,
        level="warning",
        where=" and ".join(where),
        count=count,
        text=text,
        examples=tuple(lines[:KEPT]),
        way_out=way_out,
    )
