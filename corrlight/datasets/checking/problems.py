"""A problem of a set: how bad it is, how often, where first, and the way out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from corrlight.coco.findings import Finding, Level

__all__ = ["Problem", "counted", "of_finding", "sorted_problems"]

_LEVELS: tuple[Level, ...] = ("error", "warning", "note")
# What `--fix` does about kinds of findings; what is not here stays as it is.
FIXED = {
    "no_object": "left out",
    "string_id": "turned into numbers where they are some",
    "id": "numbered anew, if they are annotations",
    "repeated_id": "numbered anew, if they are annotations; other images and categories left out",
    "no_id": "numbered",
    "unknown_image_id": "left out",
    "unknown_category_id": "left out",
    "size": "taken from the pictures",
    "no_size": "taken from the pictures",
    "repeated_file_name": "joined",
    "repeated_name": "joined",
    "merged_category": "joined",
    "iscrowd": "set to 0",
    "no_iscrowd": "set to 0",
    "area": "computed anew",
    "negative_area": "computed anew",
    "no_area": "computed",
    "area_0": "computed anew",
    "odd_area": "computed anew",
    "no_box": "left out",
    "mask_box": "taken from the masks",
    "box_number": "read as numbers, or left out",
    "huge_box": "left out",
    "negative_box": "left out",
    "empty_box": "left out",
    "outside_box": "left out",
    "leaving_box": "converted if they look like another notation, or else cut",
    "narrow_box": "converted if they look like another notation",
    "repeated_box": "left out",
    "broken_mask": "left without their mask",
    "mask_size": "left without their mask",
    "missing_picture": "left out, or found by their name in other letters",
    "damaged_picture": "left out",
    "picture_size": "taken from the pictures where width and height are exchanged, or left out",
    "shared_picture": "left out of training",
    "class_lists": "made the same",
    "class_order": "made the same",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Everything of one kind in one place.

    Attributes:
        kind: What it is, a word for programs and tests.
        level: "error" stops a training, "warning" may spoil it, "note" is good to know.
        where: The split, or splits, or empty.
        text: What is wrong, with the count.
        count: How often.
        examples: The first records, one line each.
        way_out: What mends or allows it.
    """

    kind: str
    level: Level
    where: str
    text: str
    count: int = 1
    examples: tuple[str, ...] = ()
    way_out: str = ""

    @property
    def ways_out(self) -> str:
        """The way out, and what ``--fix`` does about it."""
        if self.kind not in FIXED:
            return self.way_out
        # A training names the command that is running here.
        others = [s for s in re.split(r"(?<=\.) ", self.way_out) if s and "--fix OUT" not in s]
        return " ".join((*others, f"--fix OUT: they are {FIXED[self.kind]}."))


def of_finding(finding: Finding, where: str) -> Problem:
    """Return a finding of an annotation file as a problem for training.

    Args:
        finding: The finding.
        where: The split.
    """
    level = finding.level("train")
    way_out = finding.way_out("train")
    if finding.kind == "no_mask":
        level = "warning"
        way_out = "Detectors with masks refuse the file, others do not read masks."
    elif finding.kind in ("broken_mask", "mask_size", "polygon_size"):
        way_out = "Detectors without masks do not read them."
    elif finding.kind in ("repeated_box", "leaving_box") and level == "note":
        level = "warning"
    title = finding.said() if not finding.noun else _without_example(finding.said())
    return Problem(
        kind=finding.kind,
        level=level,
        where=where,
        text=title,
        count=finding.count,
        examples=tuple(e.line for e in finding.examples) if finding.noun else (),
        way_out=way_out,
    )


def _without_example(text: str) -> str:
    return text.partition(" (first: ")[0]


def counted(count: int, noun: str) -> str:
    """Return "1 picture" or "2,000 pictures"."""
    plural = noun if count == 1 else f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    plural = f"{noun}es" if count != 1 and noun.endswith("ss") else plural
    return f"{count:,} {plural}"


def sorted_problems(problems: Sequence[Problem]) -> list[Problem]:
    """Return problems with the worst first, otherwise in their order."""
    return sorted(problems, key=lambda p: _LEVELS.index(p.level))
