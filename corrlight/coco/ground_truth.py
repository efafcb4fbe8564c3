"""COCO ground truth as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any, Self

import numpy as np

from corrlight.coco.columns import Records
from corrlight.coco.segmentations import encoded_mask
from corrlight.coco.types import Array, Rle
from corrlight.json_files import read_json

__all__ = ["GroundTruth"]

# Lists of the file, and what a member is called in messages.
_KINDS = {"images": "image", "categories": "category"}


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
        masks: COCO run-length encodings in the same order, or None if not asked for.
        num_areas_filled: Annotations without area, for which width times height is used.
        num_crowd_filled: Annotations without iscrowd, taken as 0.
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
    masks: tuple[Rle, ...] | None = None
    num_areas_filled: int = 0
    num_crowd_filled: int = 0

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

    @classmethod
    def load(
        cls,
        annotations: Path | str,
        category_ids: Sequence[int] | None = None,
        masks: bool | None = False,
        annotated: bool = True,
    ) -> Self:
        """Read a COCO annotation file; see :meth:`from_coco`.

        Args:
            annotations: The file.
            category_ids: Category of every label.
            masks: Also read the segmentations.
            annotated: False for a file that may lack ``annotations`` (COCO's test-dev).
        """
        content = read_json(annotations, "COCO annotation file")
        if not isinstance(content, dict):
            raise ValueError(
                f"Expected {annotations} to hold a COCO dictionary, "
                f"but got a {type(content).__name__}."
            )
        if not annotated:
            content.setdefault("annotations", [])
        return cls.from_coco(content, category_ids, masks)

    @classmethod
    def from_coco(
        cls,
        content: Mapping[str, Any],
        category_ids: Sequence[int] | None = None,
        masks: bool | None = False,
    ) -> Self:
        """Build the columns from a COCO dictionary.

        Args:
            content: ``images``, ``annotations`` and ``categories``; ``area`` and ``iscrowd`` of an
                annotation may be missing; ``ignore`` has no effect, as in pycocotools.
            category_ids: Category of every label; annotations of other categories are left out.
                Default: all categories, ascending.
            masks: Also read the segmentations (needs the images' height and width). None reads them
                if there are any.

        Raises:
            ValueError: If a key is missing, an id is unknown or comes twice, a number is not finite
                or (with ``masks``) a segmentation is not one of its image; it names the record.
        """
        for key in ("images", "annotations", "categories"):
            if not isinstance(content.get(key), list):
                raise ValueError(f"Expected COCO annotations with a list `{key}`, but got none.")
        images, categories = (Records(content[k], n) for k, n in _KINDS.items())
        names = dict(zip(categories.ids().tolist(), map(_name, content["categories"]), strict=True))
        if category_ids is None:
            category_ids = sorted(names)
        unknown = [c for c in category_ids if c not in names]
        if unknown:
            raise ValueError(
                f"Expected `category_ids` to be among those of the annotations, but got {unknown}."
            )
        by_id = np.argsort(unsorted := images.ids())
        image_ids = unsorted[by_id]
        row_of = {i: row for row, i in enumerate(image_ids.tolist())}
        annotations = Records(content["annotations"], "annotation")
        if masks is None:
            masks = any("segmentation" in a for a in annotations.content)
        if all("id" in a for a in content["annotations"]):  # they decide nothing
            annotations.ids()
        image_idx = annotations.rows("image_id", row_of)
        known = {c: k for k, c in enumerate(names)}
        # Category -> label; annotations of other categories are left out.
        label_of = np.array([{c: k for k, c in enumerate(category_ids)}.get(c, -1) for c in known])
        labels = label_of[annotations.rows("category_id", known)] if len(annotations) else image_idx
        boxes = annotations.boxes()
        areas = annotations.numbers("area", missing=np.nan)
        filled = np.isnan(areas)
        crowd = annotations.flags("iscrowd")
        sizes = _sizes(images)[by_id]
        order = np.lexsort((image_idx, labels))  # stable: keeps the order of the file
        order = order[labels[order] >= 0]
        return cls(
            image_ids=image_ids,
            category_ids=np.array(category_ids, dtype=np.int64),
            names=tuple(names[c] for c in category_ids),
            image_idx=image_idx[order],
            labels=labels[order],
            boxes=boxes[order],
            areas=np.where(filled, boxes[:, 2] * boxes[:, 3], areas)[order],
            crowd=crowd[order],
            sizes=sizes,
            masks=_masks(annotations, order, sizes[image_idx]) if masks else None,
            num_areas_filled=int(filled[order].sum()),
            num_crowd_filled=sum(
                a.get("iscrowd") is None
                for a, k in zip(annotations.content, labels, strict=True)
                if k >= 0
            ),
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
            masks=None if self.masks is None else tuple(compress(self.masks, keep.tolist())),
        )


def _name(category: Mapping[str, Any]) -> str:
    return str(category.get("name", category["id"]))


def _sizes(images: Records) -> Array:
    """Return ``(I, 2)`` int64 heights and widths, 0 where the file has none."""
    sizes = np.stack([images.numbers(key, missing=0.0) for key in ("height", "width")], axis=1)
    if np.any(wrong := (sizes < 0) | (sizes != np.round(sizes))):
        row = int(np.argmax(wrong.any(1)))
        raise images.error("whole numbers as height and width of", row, sizes[row].tolist())
    return sizes.astype(np.int64)


def _masks(annotations: Records, order: Array, sizes: Array) -> tuple[Rle, ...]:
    """Encode polygons and uncompressed run lengths of the rows in ``order``."""
    return tuple(encoded_mask(annotations, row, *sizes[row].tolist()) for row in order.tolist())
