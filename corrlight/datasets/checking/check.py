"""Every problem of a set in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from corrlight.coco.annotation_file.table import AnnotationTable, read_annotations
from corrlight.datasets.checking.anchors import anchor_problem
from corrlight.datasets.checking.classes import class_problems
from corrlight.datasets.checking.masks import decoded_masks
from corrlight.datasets.checking.pictures import PictureFiles, look_at_pictures, shared_pictures
from corrlight.datasets.checking.problems import Problem, of_finding, sorted_problems
from corrlight.datasets.checking.splits import Split, find_splits, folder_for
from corrlight.datasets.checking.statistics import Statistics, statistics_of
from corrlight.json_files import JsonFileError

__all__ = ["SetCheck", "check_set"]

# Masks that are decoded without `--decode`.
_SAMPLED_MASKS = 20_000


@dataclass(slots=True, kw_only=True)
class SetCheck:
    """What was found.

    Attributes:
        splits: The splits, with their folders.
        problems: The worst first.
        tables: Annotations of the splits whose file could be read.
        statistics: Their numbers.
        files: Their pictures, where there is a folder.
        decoded: Masks that were decoded, a split.
    """

    splits: list[Split]
    problems: list[Problem]
    tables: dict[str, AnnotationTable] = field(default_factory=dict)
    statistics: dict[str, Statistics] = field(default_factory=dict)
    files: dict[str, PictureFiles] = field(default_factory=dict)
    decoded: dict[str, int] = field(default_factory=dict)

    def count(self, level: str) -> int:
        """Return how many kinds of problems of a level there are."""
        return sum(problem.level == level for problem in self.problems)


def check_set(
    sources: Sequence[Path],
    *,
    images: Path | None = None,
    decode: bool = False,
    detector: str = "atss_small",
    size: int | None = None,
) -> SetCheck:
    """Return everything that is wrong with a set, and what it is like.

    Args:
        sources: A folder in a layout of ``data=coco_custom``, or annotation files.
        images: Folder of the pictures of annotation files; None looks for it.
        decode: Whether to decode every picture and mask; else pictures are looked at by header and
            end, and of the masks a sample is decoded.
        detector: Whose anchors are compared with the objects.
        size: ``data.size`` of the training.

    Raises:
        ValueError: A source is no set, or there is no such detector.
    """
    splits, problems = find_splits(sources, images)
    found = SetCheck(splits=[], problems=problems)
    for split in splits:
        found.splits.append(_check_split(split, found, decode))
    found.problems += class_problems(found.tables)
    folders = {split.name: split.folder for split in found.splits if split.folder is not None}
    found.problems += shared_pictures(found.files, folders)
    trained = found.tables.get("train") or next(iter(found.tables.values()), None)
    if trained is not None and len(trained):
        where = "train" if "train" in found.tables else next(iter(found.tables))
        note = anchor_problem(trained, detector, size, where)
        found.problems += [note] if note else []
    found.problems = sorted_problems(found.problems)
    return found


def _check_split(split: Split, found: SetCheck, decode: bool) -> Split:
    try:
        table = read_annotations(
            split.path, masks=True, keep_masks=decode, sample_masks=_SAMPLED_MASKS
        )
    except JsonFileError as error:
        found.problems.append(
            Problem(kind="no_json", level="error", where=split.name, text=str(error))
        )
        return split
    numbers = statistics_of(table)
    found.problems += [
        of_finding(f, split.name)
        for f in table.findings
        # Boxes alone are a good set; a few without is what stops detectors with masks.
        if f.kind != "no_mask" or f.count < len(table)
    ]
    if any(finding.kind == "no_coco" for finding in table.findings):
        return split
    found.tables[split.name], found.statistics[split.name] = table, numbers
    found.decoded[split.name], problems = decoded_masks(table, split.name)
    found.problems += problems
    if split.folder is None:
        split = replace(split, folder=folder_for(split.path, table.file_names))
    if split.folder is None:
        if not any(p.kind == "no_folder" and p.where == split.name for p in found.problems):
            found.problems.append(_unseen(split))
    else:
        found.files[split.name], problems = look_at_pictures(split, table, decode)
        found.problems += problems
    if len(table.image_ids) and table.crowd.all():
        found.problems.append(_nothing(split, crowds=len(table)))
    # Segmentations are of no more use; a large set has room for one split's.
    found.tables[split.name] = replace(table, segmentations=None)
    return split


def _unseen(split: Split) -> Problem:
    return Problem(
        kind="pictures_unseen",
        level="note",
        where=split.name,
        text=f"no folder near {split.path} has its pictures, they were not looked at",
        way_out="--images DIR names it.",
    )


def _nothing(split: Split, crowds: int) -> Problem:
    return Problem(
        kind="no_objects",
        level="error" if split.name == "train" else "warning",
        where=split.name,
        text="all annotations are crowds, there is no object"
        if crowds
        else "no picture has an object",
        way_out="iscrowd is 1 of groups that are neither trained on nor counted as missed."
        if crowds
        else "",
    )
