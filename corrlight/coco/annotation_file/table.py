"""COCO annotation files as one checked table; whatever reads one, reads it here.

A file is read piece by piece, so that its text and the columns are in memory, never all of its
objects. Nothing is an error here: what is wrong is counted in ``findings``, and its place in a
column holds a placeholder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corrlight.coco.annotation_file.annotations import (
    AnnotationList,
    AnnotationRecord,
    MaskedRecord,
)
from corrlight.coco.annotation_file.boxes import check_boxes, check_repeated
from corrlight.coco.annotation_file.categories import CategoryList
from corrlight.coco.annotation_file.images import ImageList
from corrlight.coco.findings import Findings
from corrlight.coco.json_pieces import Piece, object_pieces
from corrlight.coco.types import Array
from corrlight.json_files import paused_collector

__all__ = ["AnnotationTable", "annotation_table", "read_annotations"]

# The lists, and what their records are where nothing is wrong with them.
_LISTS = {"images": None, "annotations": AnnotationRecord, "categories": None}
_KIND = "COCO annotation file"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationTable:
    """The columns of an annotation file, in its order, and what is wrong in it.

    Letters: I images, C categories, A annotations.

    Attributes:
        image_ids: ``(I,)`` int64.
        sizes: ``(I, 2)`` int64 height and width, 0 where the file does not say.
        file_names: I names; empty where there is none.
        category_ids: ``(C,)`` int64, ascending; a category that comes again as it is counts once.
        names: C names; the id where there is none.
        ids: ``(A,)`` int64 ids of the annotations; 0 where there is none.
        image_idx: ``(A,)`` int64 place of the image; -1 without one.
        category_idx: ``(A,)`` int64 place of the category; -1 without one.
        boxes: ``(A, 4)`` float64 boxes ``x, y, width, height``; the extent of the mask where there
            is only that (kind ``mask_box``), NaN where there is none.
        areas: ``(A,)`` float64 areas; NaN where the file does not say.
        crowd: ``(A,)`` bool.
        crowd_given: ``(A,)`` bool: whether the file says so.
        invalid: ``(A,)`` bool: annotations of no use in training for their box (one of the kinds
            ``INVALID_BOXES``).
        segmentations: A polygon lists or run lengths as in the file, None for those that are not
            in a sample; or None if not asked for.
        masked: ``(A,)`` bool: annotations with a sound mask of the size of their image; None if
            masks were not checked.
        findings: What is wrong.
    """

    image_ids: Array
    sizes: Array
    file_names: tuple[str, ...]
    category_ids: Array
    names: tuple[str, ...]
    ids: Array
    image_idx: Array
    category_idx: Array
    boxes: Array
    areas: Array
    crowd: Array
    crowd_given: Array
    invalid: Array
    segmentations: list[Any] | None
    masked: Array | None
    findings: Findings

    def __len__(self) -> int:
        return len(self.ids)


def read_annotations(
    path: Path | str,
    *,
    masks: bool = False,
    keep_masks: bool = False,
    sample_masks: int = 0,
    annotated: bool = True,
) -> AnnotationTable:
    """Read and check an annotation file.

    Args:
        path: The file.
        masks: Whether to check the segmentations.
        keep_masks: Whether to keep them as well.
        sample_masks: Keep those of at most so many annotations, evenly spaced, instead.
        annotated: False for a file that may lack ``annotations`` (COCO's test-dev).

    Raises:
        JsonFileError: If the file cannot be read or parsed.
    """
    wanted = masks or keep_masks or sample_masks > 0
    lists = {**_LISTS, "annotations": MaskedRecord} if wanted else _LISTS
    pieces = object_pieces(path, _KIND, lists)
    with paused_collector():
        findings = Findings()
        annotations = AnnotationList(findings, masks or keep_masks, keep_masks, sample_masks)
        return _table(str(path), pieces, annotations, annotated)


def annotation_table(
    content: Any, *, masks: bool = False, keep_masks: bool = False, annotated: bool = True
) -> AnnotationTable:
    """Check the parsed content of an annotation file; see :func:`read_annotations`."""
    annotations = AnnotationList(Findings(), masks or keep_masks, keep_masks)
    return _table("the annotations", _pieces(content), annotations, annotated)


def _pieces(content: Any) -> Iterator[tuple[str | None, Any]]:
    if isinstance(content, Mapping):
        for key in (k for k in _LISTS if k in content):
            value = content[key]
            yield key, Piece(0, value) if isinstance(value, list) else value
    else:
        yield None, content


def _table(
    name: str,
    pieces: Iterable[tuple[str | None, Any]],
    annotations: AnnotationList,
    annotated: bool,
) -> AnnotationTable:
    findings = annotations.findings
    images, categories = ImageList(findings), CategoryList(findings)
    lists = {"images": images, "annotations": annotations, "categories": categories}
    seen = set() if annotated else {"annotations"}
    for key, piece in pieces:
        if key is None:
            _report_file(findings, name, f"a {type(piece).__name__}")
            seen.update(lists)
            for any_list in lists.values():
                any_list.whole = False
        elif not isinstance(piece, Piece):
            got = "none" if piece is None else f"a {type(piece).__name__}"
            _report_list(findings, key, f"{key!r} is a {type(piece).__name__}", got)
            lists[key].whole = False
            seen.add(key)
        else:
            seen.add(key)
            if not (piece.records and annotations.add_typed(piece.records, piece.first)):
                lists[key].add(piece.content, piece.first)
    for key in (k for k in lists if k not in seen):
        _report_list(findings, key, f"the key {key!r} is missing", "none")
        lists[key].whole = False
    kept = categories.finish()
    images.finish()
    for key in ("images", "categories"):
        if lists[key].whole and not len(lists[key].ids):
            findings.add_file("empty_list", f"{key!r} is empty", f"records in `{key}`", "none")
    return _columns(images, categories, annotations, kept)


def _columns(
    images: ImageList, categories: CategoryList, annotations: AnnotationList, kept: Array
) -> AnnotationTable:
    image_idx = annotations.places("image_id", images.ids, images.whole)
    category_ids = categories.ids[kept]
    category_idx = annotations.places("category_id", category_ids, categories.whole)
    sizes = images.sizes
    # The last row stands for annotations without an image.
    of_images = np.concatenate([sizes, np.zeros((1, 2), np.int64)])[image_idx]
    by_mask = annotations.finish(of_images, image_idx >= 0)
    invalid = check_boxes(annotations, of_images) | by_mask
    check_repeated(annotations, image_idx, category_idx)
    return AnnotationTable(
        image_ids=images.ids,
        sizes=sizes,
        file_names=tuple(images.file_names),
        category_ids=category_ids,
        names=tuple(categories.names[row] for row in kept.tolist()),
        ids=annotations.ids,
        image_idx=image_idx,
        category_idx=category_idx,
        boxes=annotations.column("boxes"),
        areas=annotations.column("areas"),
        crowd=annotations.column("crowd").astype(bool),
        crowd_given=annotations.column("crowd_given").astype(bool),
        invalid=invalid,
        segmentations=annotations.segmentations,
        masked=annotations.masked(of_images),
        findings=annotations.findings,
    )


def _report_file(findings: Findings, name: str, got: str) -> None:
    expected = "an object with images, annotations and categories is expected"
    findings.add_file(
        "no_coco",
        f"no COCO file: {expected}, but it is {got}",
        f"{name} to hold a COCO dictionary",
        got,
    )


def _report_list(findings: Findings, key: str, what: str, got: str) -> None:
    findings.add_file(
        "no_coco", f"no COCO file: {what}", f"COCO annotations with a list `{key}`", got
    )
