"""The annotations of an annotation file: what they refer to, boxes, areas, flags, masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from corrlight.coco.annotation_file.lists import RecordList, joined
from corrlight.coco.findings import Example, Findings, short
from corrlight.coco.segmentations import (
    Segmentation,
    check_masks,
    check_sizes,
    extent,
    has_mask,
    missing_text,
    sound_masks,
)
from corrlight.coco.typed_columns import Box, boxes_of, floats_of, ints_of
from corrlight.coco.types import Array
from corrlight.coco.values import found_at, is_given

__all__ = ["AnnotationList", "AnnotationRecord", "MaskedRecord"]

# Columns of more than one number a row.
_WIDTHS = {"boxes": 4, "mask_sizes": 2}
# Keys that a file may lack, and what is said of it.
_OPTIONAL = {"no_id": "id", "no_iscrowd": "iscrowd", "no_area": "area"}


class AnnotationRecord(msgspec.Struct, gc=False):
    """An annotation that lacks nothing; whatever else it has is passed over."""

    id: int
    image_id: int
    category_id: int
    bbox: Box
    area: float
    iscrowd: int


class MaskedRecord(AnnotationRecord, gc=False):
    """The same, with its segmentation."""

    segmentation: Segmentation = None


class AnnotationList(RecordList):
    """The annotations.

    Args:
        findings: Where faults go.
        masks: Whether to check the segmentations.
        keep: Whether to keep them.
        sample: Keep at most so many, evenly spaced, instead.
    """

    def __init__(self, findings: Findings, masks: bool, keep: bool, sample: int = 0) -> None:
        super().__init__("annotation", findings)
        self._kept: list[Any] | None = [] if keep else None
        self._masks = masks
        self._sample, self._step = sample, 1
        self._sampled: dict[int, Any] = {}
        # Segmentations of annotations that have one and no box, by row.
        self._unboxed: dict[int, Any] = {}
        self._pieces: dict[str, list[Array]] = {}

    def add(self, piece: Sequence[Any], first: int) -> None:
        """Take the next annotations."""
        records = self.records(piece, first, optional_id=True)
        unboxed = np.fromiter(
            (not is_given(r.get("bbox")) and has_mask(r) for r in records.content),
            bool,
            len(records),
        )
        self._unboxed |= {
            first + row: records.content[row]["segmentation"]
            for row in np.flatnonzero(unboxed).tolist()
        }
        columns = {
            "boxes": records.boxes(optional=unboxed),
            "areas": records.numbers("area", "area", np.nan, "a finite number >= 0"),
            "crowd": records.flags("iscrowd", "iscrowd"),
            "crowd_given": np.array([r.get("iscrowd") is not None for r in records.content], bool),
        }
        for key in ("image_id", "category_id"):
            columns[key], columns[f"has_{key}"] = records.references(key)
        if self._masks:
            columns["mask_sizes"] = check_masks(records)
        self._keep([record.get("segmentation") for record in records.content], first)
        for kind, key in _OPTIONAL.items():
            rows = [row for row, record in enumerate(records.content) if record.get(key) is None]
            records.fault(kind, rows, f"`{key}` in", lambda row: "", lambda row: "none")
        for name, column in columns.items():
            self._pieces.setdefault(name, []).append(column)

    def _keep(self, shapes: Sequence[Any], first: int) -> None:
        if self._kept is not None:
            self._kept += shapes
        elif self._sample:
            for row in range(-first % self._step, len(shapes), self._step):
                self._sampled[first + row] = shapes[row]
            while len(self._sampled) > self._sample:
                self._step *= 2
                self._sampled = {k: v for k, v in self._sampled.items() if not k % self._step}

    @property
    def segmentations(self) -> list[Any] | None:
        """As in the file, if they are kept; None in place of one that is not in the sample."""
        if self._kept is not None or not self._sample:
            return self._kept
        return [self._sampled.get(row) for row in range(len(self.ids))]

    def masked(self, sizes: Array) -> Array | None:
        """Return ``(A,)`` bool: which masks are sound, None if they were not checked.

        Args:
            sizes: ``(A, 2)`` height and width of the images, 0 where unknown.
        """
        if not self._masks:
            return None
        of_masks, known = self.column("mask_sizes"), (sizes > 0).all(1)
        polygons = (of_masks < 0).all(1) & known
        runs: Array = (of_masks > 0).all(1) & (~known | (of_masks == sizes).all(1))
        return polygons | runs

    def add_typed(self, records: Sequence[AnnotationRecord], first: int) -> bool:
        """Take the next annotations if nothing is wrong with one but that masks are missing.

        Args:
            records: The annotations, at least one; ``MaskedRecord`` where masks are wanted.
            first: Place of the first of them in the list.

        Returns:
            False if :meth:`add` has to take them.
        """
        numbers = [ints_of(records, name) for name in ("id", "image_id", "category_id", "iscrowd")]
        boxes = boxes_of(records)
        if any(n is None for n in numbers) or boxes[:, 2:].min() < 0:
            return False
        shapes: list[Segmentation] = []
        sizes: Array | None = None
        if self._masks or self._kept is not None or self._sample:
            if not isinstance(records[0], MaskedRecord):
                return False
            shapes = [record.segmentation for record in records]  # type: ignore[attr-defined]
        if self._masks:
            sizes = sound_masks(shapes)
            if sizes is None:
                return False
        ids, image_ids, category_ids, crowd = (np.asarray(n) for n in numbers)
        if crowd.min() < 0 or crowd.max() > 1:
            return False
        every = np.ones(len(records), dtype=bool)
        self._ids.append(ids)
        self._good.append(every)
        columns = {
            "boxes": boxes,
            "areas": floats_of(records, "area"),
            "crowd": crowd.astype(bool),
            "crowd_given": every,
            "image_id": image_ids,
            "has_image_id": every,
            "category_id": category_ids,
            "has_category_id": every,
        }
        if sizes is not None:
            columns["mask_sizes"] = sizes
            self._report_missing(records, shapes, sizes, first)
        self._keep(shapes, first)
        for name, column in columns.items():
            self._pieces.setdefault(name, []).append(column)
        return True

    def _report_missing(
        self,
        records: Sequence[AnnotationRecord],
        shapes: Sequence[Segmentation],
        sizes: Array,
        first: int,
    ) -> None:
        rows = np.flatnonzero(sizes[:, 0] == 0)
        if not len(rows):
            return

        def example(number: int) -> Example:
            shape = shapes[number - first]
            return Example(
                row=number,
                name=f"annotation {records[number - first].id}",
                text=f"segmentation {missing_text(shape)}",
                expected="a segmentation in",
                got=short(shape),
            )

        self.findings.add("no_mask", self.noun, (first + rows).tolist(), example)

    def column(self, name: str) -> Array:
        """Return a column of all pieces.

        Args:
            name: "boxes" ``(A, 4)``, "areas" or "crowd" ``(A,)``, NaN where there is none.
        """
        column = joined(self._pieces.get(name, []))
        return column.reshape(-1, _WIDTHS[name]) if name in _WIDTHS else column

    def places(self, key: str, known: Array, whole: bool) -> Array:
        """Return ``(A,)`` int64 places of the records that annotations refer to, -1 without one.

        Args:
            key: "image_id" or "category_id".
            known: Ids, in the order that the places count.
            whole: Whether these are good: what is unknown is reported only then.
        """
        given, has = self.column(key).astype(np.int64), self.column(f"has_{key}").astype(bool)
        order = np.argsort(known, kind="stable")
        places = found_at(known[order], given)
        found = has & (places >= 0)
        if whole:
            self.fault(
                f"unknown_{key}",
                np.flatnonzero(has & ~found).tolist(),
                f"a known {key} in",
                lambda row: f"unknown {key} {given[row]}",
                lambda row: str(given[row]),
            )
        return np.where(found, order[places] if len(order) else -1, -1)

    def finish(self, sizes: Array, placed: Array) -> Array:
        """Report ids that come again, and masks that do not fit their images.

        Annotations with a mask and no box get the extent of the mask as their box.

        Args:
            sizes: ``(A, 2)`` height and width of the images, 0 where unknown.
            placed: ``(A,)`` bool: annotations of images that there are; of the others, nothing is
                said here.

        Returns:
            ``(A,)`` bool: annotations whose box is that of their mask.
        """
        self.report_repeated(self.repeated())
        if self._masks:
            mask_sizes = self.column("mask_sizes").astype(np.int64)
            check_sizes(np.where(placed[:, None], mask_sizes, 0), sizes, self.fault)
        by_mask = np.zeros(len(self.ids), dtype=bool)
        if not self._unboxed:
            return by_mask
        boxes = self.column("boxes")
        for row, shape in self._unboxed.items():
            box = extent(shape, *sizes[row].tolist())
            if box is not None:
                boxes[row], by_mask[row] = box, True
        self._pieces["boxes"] = [boxes]
        for kind, rows, text in (
            ("mask_box", np.flatnonzero(by_mask).tolist(), "no bbox"),
            (
                "no_box",
                [row for row in self._unboxed if placed[row] and not by_mask[row]],
                "no bbox, and a mask that gives none",
            ),
        ):
            self.fault(
                *(kind, rows, "a bbox in"),
                lambda row, text=text: text,  # type: ignore[misc]
                lambda row: "none",
            )
        return by_mask
