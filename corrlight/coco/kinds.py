"""The kinds of findings in COCO files: what they stop, and what mends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["INVALID_BOXES", "KINDS", "UNKNOWN", "Kind", "Purpose"]

# What an annotation file is read for: to be measured against, or to be trained on.
Purpose = Literal["measure", "train"]

_BOTH: frozenset[Purpose] = frozenset({"measure", "train"})
_TRAIN: frozenset[Purpose] = frozenset({"train"})
_NEITHER: frozenset[Purpose] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of finding.

    Attributes:
        title: What is said of the records: ``3 annotations TITLE``.
        stops: What the file is of no use for.
        warns: What it is worth a warning for, if it does not stop it.
        of_masks: Whether it is about masks: leaving them out is a way on.
        way_out: A sentence with what mends it; empty where there is none in general.
        in_training: A sentence with what allows it in training.
    """

    title: str
    stops: frozenset[Purpose] = _BOTH
    warns: frozenset[Purpose] = _BOTH
    of_masks: bool = False
    way_out: str = ""
    in_training: str = ""


_IDS = "Ids of COCO files are numbers: write them, and the keys that refer to them, without quotes."
_DROP = "`data.invalid_boxes=drop` leaves such annotations out of training."
_FIX = f"{_DROP} `corrlight data check ROOT --fix OUT` takes it from the mask."
_UNKNOWN = "`corrlight data check ROOT --fix OUT` leaves them out."
_XYWH = "Boxes are [x, y, width, height] in pixels."

KINDS: dict[str, Kind] = {
    # The file.
    "no_coco": Kind(title="no COCO file"),
    "empty_list": Kind(title="without records", stops=_TRAIN, warns=_NEITHER),
    "no_object": Kind(title="not written as a JSON object"),
    "missing": Kind(title="without a key"),
    # Ids.
    "id": Kind(title="without a whole number as id"),
    "string_id": Kind(title="with a string as id", way_out=_IDS),
    "repeated_id": Kind(title="with the id of another"),
    "no_id": Kind(title="without id", stops=_NEITHER, warns=_TRAIN),
    "unknown_image_id": Kind(title="of an image that is not in the file", in_training=_UNKNOWN),
    "unknown_category_id": Kind(
        title="of a category that is not in the file", in_training=_UNKNOWN
    ),
    # Images.
    "size": Kind(title="whose height and width are no whole numbers"),
    "no_size": Kind(title="without height and width", stops=_TRAIN, warns=_NEITHER),
    "file_name": Kind(title="without file_name", stops=_TRAIN, warns=_NEITHER),
    "outside_folder": Kind(
        title="whose file_name leaves the image folder", stops=_TRAIN, warns=_NEITHER
    ),
    "repeated_file_name": Kind(title="with the file_name of another", stops=_TRAIN),
    "coco_url": Kind(
        title="named by coco_url, for want of file_name", stops=_NEITHER, warns=_NEITHER
    ),
    # Categories.
    "category_name": Kind(title="without name", stops=_TRAIN, warns=_NEITHER),
    "repeated_name": Kind(title="with the name of another", stops=_TRAIN),
    "merged_category": Kind(title="repeated as it is, counted once", stops=_NEITHER),
    # Annotations and detections.
    "score": Kind(title="whose score is no number"),
    "iscrowd": Kind(title="whose iscrowd is not 0 or 1"),
    "no_iscrowd": Kind(title="without iscrowd: 0 is used", stops=_NEITHER),
    "area": Kind(title="whose area is no number"),
    "negative_area": Kind(title="with a negative area", stops=_TRAIN),
    "no_area": Kind(title="without area: width x height is used", stops=_NEITHER),
    "no_box": Kind(title="without a bbox", in_training=_DROP),
    "mask_box": Kind(
        title="without a bbox: the extent of the mask is used", stops=_TRAIN, in_training=_FIX
    ),
    "box_number": Kind(title="with a bbox that is not of finite numbers", in_training=_DROP),
    "huge_box": Kind(
        title="with a bbox that is not of finite numbers", stops=_TRAIN, in_training=_DROP
    ),
    "negative_box": Kind(title="with a bbox of negative size", in_training=_DROP),
    "empty_box": Kind(
        title="with a bbox of no size", stops=_TRAIN, warns=_NEITHER, in_training=_DROP
    ),
    "outside_box": Kind(title="with a bbox outside its image", stops=_TRAIN, in_training=_DROP),
    # How boxes lie in their pictures; what stops is decided by their share.
    "leaving_box": Kind(
        title="with a box that leaves its image by more than a pixel",
        stops=_NEITHER,
        in_training=f"{_XYWH} `data.invalid_boxes=cut` cuts them to their image all the same.",
    ),
    "narrow_box": Kind(
        title="narrower or lower than a pixel, no targets",
        stops=_NEITHER,
        warns=_TRAIN,
        in_training=_XYWH,
    ),
    "area_0": Kind(
        title="of area 0, no targets",
        stops=_NEITHER,
        warns=_TRAIN,
        in_training="Without the key `area`, width x height is used.",
    ),
    "odd_area": Kind(
        title="whose area is not that of an object in its bbox",
        stops=_NEITHER,
        way_out="AP by size goes by `area`, in pixels; without the key, width x height is used.",
    ),
    "repeated_box": Kind(
        title="with the class and box of another one in its image",
        stops=_NEITHER,
        warns=_TRAIN,
        in_training="Each of them counts as an object of its own.",
    ),
    # Masks.
    "no_mask": Kind(title="without a mask", stops=_TRAIN, of_masks=True),
    "broken_mask": Kind(title="with a broken mask", of_masks=True),
    "mask_size": Kind(title="with a mask of another size than the image's", of_masks=True),
    "polygon_size": Kind(title="with polygons in an image without height and width", of_masks=True),
}

# What refers to what is not in the file; a measurement may leave it out (``skip_unknown``).
UNKNOWN = ("unknown_image_id", "unknown_category_id")
# A training may leave these annotations out (`data.invalid_boxes`).
INVALID_BOXES = (
    *("no_box", "mask_box", "box_number", "huge_box"),
    *("negative_box", "empty_box", "outside_box"),
)
