"""COCO ground truth as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any, Self

import numpy as np

from corrlight.coco.annotation_file.table import AnnotationTable, annotation_table, read_annotations
from corrlight.coco.findings import Findings
from corrlight.coco.kinds import UNKNOWN
from corrlight.coco.segmentations import encode
from corrlight.coco.types import Array, Rle

__all__ = ["GroundTruth"]

_OF_MASKS = ("no_mask", "broken_mask", "mask_size", "polygon_size")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundTruth:
    """Objects to be found, sorted by class, then image, then place in the file.

    Objects are addressed by their row, never by annotation id: pycocotools reads a match with
    annotation id 0 as "unmatched", which therefore cannot happen here.

    Attributes:
        image_ids: ``(I,)`` ids of the evaluated images, ascending.
        category_ids: ``(C,)`` category id of every label.
        names: Category names in the order of the labels.
        image_idx: ``(G,)`` row of ``image_ids``.
        labels: ``(G,)`` classes in ``[0, C)``.
        boxes: ``(G, 4)`` float64 boxes ``x, y, width, height``.
        areas: ``(G,)`` the annotation's area (of the mask, in COCO), which decides the size class.
        crowd: ``(G,)`` bool; crowds are ignore regions.
        sizes: ``(I, 2)`` height and width of the images, 0 where the file does not say.
        image_rows: ``(I,)`` place of each image in the file.
        rows: ``(G,)`` place of each object in the file, ascending within a class and image.
        masks: COCO run-length encodings in the same order, or None if not asked for or not there.
        num_areas_filled: Annotations without area, for which width times height is used.
        num_crowd_filled: Annotations without iscrowd, taken as 0.
        findings: What else is unusual in the file.
    """

    image_ids: Array
    category_ids: Array
    names: tuple[str, ...]
    image_idx: Array
    labels: Array
    boxes: Array
    areas: Array
    crowd: Array
    sizes: Array
    image_rows: Array
    rows: Array
    masks: tuple[Rle, ...] | None = None
    num_areas_filled: int = 0
    num_crowd_filled: int = 0
    findings: Findings = field(default_factory=Findings)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.category_ids)

    @property
    def num_images(self) -> int:
        """Number of evaluated images I."""
        return len(self.image_ids)

    def crowding(self, limit: int) -> str:
        """Return in words how many images hold more objects of a class than count, or nothing.

        Args:
            limit: Detections of an image and class that are evaluated.
        """
        cell = self.labels * self.num_images + self.image_idx
        cells, counts = np.unique(cell[~self.crowd], return_counts=True)
        if not len(counts) or counts.max() <= limit:
            return ""
        images = len(np.unique(cells[counts > limit] % self.num_images))
        return (
            f"{images:,} of {self.num_images:,} images hold more than {limit} objects of one class "
            f"(up to {counts.max():,}), but at most {limit} detections of each count"
        )

    @classmethod
    def load(
        cls,
        annotations: Path | str,
        category_ids: Sequence[int] | None = None,
        masks: bool | None = False,
        annotated: bool = True,
        skip_unknown: bool = False,
    ) -> Self:
        """Read a COCO annotation file; see :meth:`from_coco`.

        Args:
            annotations: The file.
            category_ids: Category of every label.
            masks: Also read the segmentations.
            annotated: False for a file that may lack ``annotations`` (COCO's test-dev).
            skip_unknown: See :meth:`from_coco`.
        """
        table = read_annotations(annotations, keep_masks=masks is not False, annotated=annotated)
        return cls._of(table, category_ids, masks, skip_unknown)

    @classmethod
    def from_coco(
        cls,
        content: Mapping[str, Any],
        category_ids: Sequence[int] | None = None,
        masks: bool | None = False,
        skip_unknown: bool = False,
    ) -> Self:
        """Build the columns from a COCO dictionary.

        An annotation with a mask and no ``bbox`` has the extent of the mask as its box.

        Args:
            content: ``images``, ``annotations`` and ``categories``; ``area`` and ``iscrowd`` of an
                annotation may be missing; ``ignore`` has no effect, as in pycocotools.
            category_ids: Category of every label; annotations of other categories are left out.
                Default: all categories, ascending.
            masks: Also read the segmentations (polygons need the images' height and width). None
                reads them if every annotation has one; how many have none is in ``findings``.
            skip_unknown: Leave out annotations of images and categories that are not in the file,
                as pycocotools does; how many is in ``findings``.

        Raises:
            MaskError: If (with ``masks``) a segmentation is broken or not one of its image.
            UnknownIdError: If (without ``skip_unknown``) an annotation is of an unknown image or
                category, or if all of them are.
            ValueError: If a key is missing, an id comes twice, or a number is not finite; it names
                the record.
        """
        table = annotation_table(content, keep_masks=masks is not False)
        return cls._of(table, category_ids, masks, skip_unknown)

    @classmethod
    def _of(
        cls,
        table: AnnotationTable,
        category_ids: Sequence[int] | None,
        masks: bool | None,
        skip_unknown: bool,
    ) -> Self:
        findings = table.findings
        known = (table.image_idx >= 0) & (table.category_idx >= 0)
        # Of a file whose annotations are all unknown, nothing would be left.
        skipped = UNKNOWN if skip_unknown and (known.any() or not len(known)) else ()
        # One annotation without a mask leaves all masks out, broken ones as well.
        left_out = masks is None and ("no_mask" in findings or not len(table))
        findings.raise_first("measure", (*skipped, *(_OF_MASKS if left_out else ())))
        if masks and "no_mask" in findings:
            raise findings["no_mask"].error()
        names = dict(zip(table.category_ids.tolist(), table.names, strict=True))
        if category_ids is None:
            category_ids = list(names)
        unknown = [c for c in category_ids if c not in names]
        if unknown:
            raise ValueError(
                f"Expected `category_ids` to be among those of the annotations, but got {unknown}."
            )
        by_id = np.argsort(table.image_ids)
        row_of_image = np.argsort(by_id)  # the other way round
        image_idx = row_of_image[table.image_idx] if len(table) else table.image_idx
        # Category -> label; annotations of other categories are left out.
        label = {c: k for k, c in enumerate(category_ids)}
        label_of = np.array([label.get(c, -1) for c in names], dtype=np.int64)
        labels = label_of[table.category_idx] if len(table) else table.category_idx
        order = np.lexsort((image_idx, labels))  # stable: keeps the order of the file
        order = order[(known & (labels >= 0))[order]]
        filled = np.isnan(table.areas)
        boxes = table.boxes
        encoded = None
        if masks is not False and not left_out and table.segmentations is not None:
            shapes, sizes = table.segmentations, table.sizes[table.image_idx].tolist()
            encoded = tuple(encode(shapes[row], *sizes[row]) for row in order.tolist())
        return cls(
            image_ids=table.image_ids[by_id],
            category_ids=np.array(category_ids, dtype=np.int64),
            names=tuple(names[c] for c in category_ids),
            image_idx=image_idx[order],
            labels=labels[order],
            boxes=boxes[order],
            areas=np.where(filled, boxes[:, 2] * boxes[:, 3], table.areas)[order],
            crowd=table.crowd[order],
            sizes=table.sizes[by_id],
            image_rows=by_id,
            rows=order,
            masks=encoded,
            num_areas_filled=int(filled[order].sum()),
            num_crowd_filled=int((~table.crowd_given[order]).sum()),
            findings=findings,
        )

    def restricted(self, image_ids: Iterable[int]) -> Self:
        """Return the ground truth of these images only.

        Raises:
            ValueError: If an image is not in the annotations.
        """
        wanted = np.unique(np.fromiter(image_ids, dtype=np.int64))
        unknown = np.setdiff1d(wanted, self.image_ids)
        if len(unknown):
            raise ValueError(
                f"Expected images of the annotation file, but got image id {unknown[0]}."
            )
        new_idx = np.full(self.num_images, -1, dtype=np.int64)
        new_idx[np.searchsorted(self.image_ids, wanted)] = np.arange(len(wanted))
        keep = new_idx[self.image_idx] >= 0
        return replace(
            self,
            image_ids=wanted,
            image_idx=new_idx[self.image_idx[keep]],
            labels=self.labels[keep],
            boxes=self.boxes[keep],
            areas=self.areas[keep],
            crowd=self.crowd[keep],
            sizes=self.sizes[np.searchsorted(self.image_ids, wanted)],
            image_rows=self.image_rows[np.searchsorted(self.image_ids, wanted)],
            rows=self.rows[keep],
            masks=None if self.masks is None else tuple(compress(self.masks, keep.tolist())),
        )
