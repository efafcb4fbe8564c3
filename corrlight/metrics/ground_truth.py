"""COCO ground truth as columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any, Self

import numpy as np
from pycocotools import mask as mask_utils

from corrlight.metrics.base import Array, Rle

__all__ = ["GroundTruth"]


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
        masks: bool = False,
    ) -> Self:
        """Read a COCO annotation file; see :meth:`from_coco`."""
        content = json.loads(Path(annotations).read_text())
        if not isinstance(content, dict):
            raise ValueError(
                f"Expected {annotations} to hold a COCO dictionary, "
                f"but got a {type(content).__name__}."
            )
        return cls.from_coco(content, category_ids, masks)

    @classmethod
    def from_coco(
        cls,
        content: Mapping[str, Any],
        category_ids: Sequence[int] | None = None,
        masks: bool = False,
    ) -> Self:
        """Build the columns from a COCO dictionary.

        Args:
            content: ``images``, ``annotations`` and ``categories``; ``area`` and ``iscrowd`` of an
                annotation may be missing; ``ignore`` has no effect, as in pycocotools.
            category_ids: Category of every label; annotations of other categories are left out.
                Default: all categories, ascending.
            masks: Also read the segmentations (needs the images' height and width).

        Raises:
            ValueError: If a key is missing or an annotation names an unknown image or category.
        """
        for key in ("images", "annotations", "categories"):
            if not isinstance(content.get(key), list):
                raise ValueError(f"Expected COCO annotations with a list `{key}`, but got none.")
        names = {c["id"]: str(c.get("name", c["id"])) for c in content["categories"]}
        if category_ids is None:
            category_ids = sorted(names)
        unknown = [c for c in category_ids if c not in names]
        if unknown:
            raise ValueError(
                f"Expected `category_ids` to be among those of the annotations, but got {unknown}."
            )
        image_ids = np.unique(np.array([i["id"] for i in content["images"]], dtype=np.int64))
        known = set(image_ids.tolist())
        for number, a in enumerate(content["annotations"]):
            if a["image_id"] not in known or a["category_id"] not in names:
                raise ValueError(
                    "Expected annotations of known images and categories, but got image "
                    f"{a['image_id']}, category {a['category_id']} in annotation number {number}."
                )
        label_of = {c: k for k, c in enumerate(category_ids)}
        rows = [a for a in content["annotations"] if a["category_id"] in label_of]
        boxes = np.array([a["bbox"] for a in rows], dtype=np.float64).reshape(-1, 4)
        areas = np.array([a.get("area", np.nan) for a in rows], dtype=np.float64)
        filled = np.isnan(areas)
        labels = np.array([label_of[a["category_id"]] for a in rows], dtype=np.int64)
        image_idx = np.searchsorted(image_ids, np.array([a["image_id"] for a in rows], np.int64))
        order = np.lexsort((image_idx, labels))  # stable: keeps the order of the file
        return cls(
            image_ids=image_ids,
            category_ids=np.array(category_ids, dtype=np.int64),
            names=tuple(names[c] for c in category_ids),
            image_idx=image_idx[order],
            labels=labels[order],
            boxes=boxes[order],
            areas=np.where(filled, boxes[:, 2] * boxes[:, 3], areas)[order],
            crowd=np.array([bool(a.get("iscrowd", 0)) for a in rows], dtype=bool)[order],
            masks=_masks(content["images"], [rows[i] for i in order]) if masks else None,
            num_areas_filled=int(filled.sum()),
            num_crowd_filled=sum("iscrowd" not in a for a in rows),
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
            masks=None if self.masks is None else tuple(compress(self.masks, keep.tolist())),
        )


def _masks(
    images: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> tuple[Rle, ...]:
    """Encode polygons and uncompressed run lengths of ``rows``."""
    size_of = {i["id"]: (i.get("height"), i.get("width")) for i in images}
    encoded = []
    for row in rows:
        height, width = size_of[row["image_id"]]
        shape = row.get("segmentation")
        if not shape or height is None or width is None:
            raise ValueError(
                "Expected a segmentation, and an image with height and width, for annotation id "
                f"{row.get('id')}, but got none."
            )
        if isinstance(shape, list):
            encoded.append(mask_utils.merge(mask_utils.frPyObjects(shape, height, width)))
        elif isinstance(shape["counts"], list):
            encoded.append(mask_utils.frPyObjects(shape, height, width))
        else:
            encoded.append(shape)
    return tuple(encoded)
