"""Dumps of a detector before post-processing: ``run.py mode=test dump_raw=true``.

An ``.npz`` file of plain arrays; docs/measures.md describes it, so that other detectors can write
one. Boxes are rows of one table of all images, candidates and positives refer to them by row.
"""

from __future__ import annotations

import json
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from corrlight.atomic import atomic_path
from corrlight.coco.ground_truth import GroundTruth
from corrlight.coco.results import PositiveTable
from corrlight.coco.types import Array

__all__ = ["RawCandidates", "RawDump", "write_raw"]

# What a damaged archive raises, whichever of its bytes is wrong: of the archive, of a compressed
# stream, of the header of an array.
_UNREADABLE = (
    OSError, ValueError, EOFError, AttributeError, KeyError, NotImplementedError, RuntimeError,
    MemoryError, OverflowError, SyntaxError, TypeError, struct.error, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
# Array -> its table (all arrays of a table have one length), whether it holds ids, rows or sizes
# rather than measured numbers, and the length of a row.
_ARRAYS: dict[str, tuple[str, bool, int]] = {
    "positive_image_id": ("positive", True, 1),
    "positive_score": ("positive", False, 1),
    "positive_iou": ("positive", False, 1),
    "positive_ranking_score": ("positive", False, 1),
    "positive_box": ("positive", True, 1),
    "positive_category_id": ("positive", True, 1),
    "image_id": ("image", True, 1),
    "image_size": ("image", True, 2),
    "file_size": ("image", True, 2),
    "boxes": ("box", False, 4),
    "box_image_id": ("box", True, 1),
    "box_level": ("box", True, 1),
    "box_quality": ("box", False, 1),
    "candidate_box": ("candidate", True, 1),
    "candidate_category_id": ("candidate", True, 1),
    "candidate_score": ("candidate", False, 1),
    "candidate_logit": ("candidate", False, 1),
}
_OF_BETA = ("positive_image_id", "positive_score", "positive_iou")
_OF_BOUNDS = (
    *("image_id", "image_size", "boxes", "box_image_id", "candidate_box"),
    *("candidate_category_id", "positive_box", "positive_category_id"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCandidates:
    """What post-processing selects from.

    Attributes:
        image_id: ``(I,)`` the evaluated images.
        image_size: ``(I, 2)`` height and width in the pixels of the boxes, which are clipped to it.
        file_size: ``(I, 2)`` height and width of the file.
        boxes: ``(H, 4)`` xyxy.
        box_image_id: ``(H,)``.
        box_level: ``(H,)`` pyramid level.
        box_quality: ``(H,)`` logit of centerness or IoU, or None.
        candidate_box: ``(M,)`` row of ``boxes``.
        candidate_category_id: ``(M,)``.
        candidate_logit: ``(M,)`` logit of the class score.
        positive_box: ``(P,)`` row of ``boxes`` of every positive.
        positive_category_id: ``(P,)``.
        postprocess: Name and options of the post-processing.
    """

    image_id: Array
    image_size: Array
    file_size: Array
    boxes: Array
    box_image_id: Array
    box_level: Array
    box_quality: Array | None
    candidate_box: Array
    candidate_category_id: Array
    candidate_logit: Array
    positive_box: Array
    positive_category_id: Array
    postprocess: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawDump:
    """What a detector found before post-processing.

    Attributes:
        positive_image_id: ``(P,)`` image of each of the training assigner's positives.
        positive_score: ``(P,)`` class score of the ground truth's class.
        positive_iou: ``(P,)`` IoU with the assigned ground truth.
        positive_ranking_score: ``(P,)`` score that detections are ranked by, or None.
        candidates: For image-level bounds, or None if the file has no candidates.
    """

    positive_image_id: Array
    positive_score: Array
    positive_iou: Array
    positive_ranking_score: Array | None
    candidates: RawCandidates | None

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read and check a dump.

        Raises:
            ValueError: Naming the array, if it is missing or has the wrong shape, type or range.
        """
        try:
            # Not np.load itself: it also takes a single array and a pickle for what they are.
            with zipfile.ZipFile(path):
                pass
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except FileNotFoundError:
            raise ValueError(f"Expected a dump at {path}, but there is no such file.") from None
        except _UNREADABLE as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"Expected {path} to be an .npz file, but got: {reason}.") from None
        text = arrays.pop("postprocess", None)
        return cls.from_arrays(arrays, None if text is None else _options(text, path), path)

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, Array], postprocess: Mapping[str, Any] | None, path: Any
    ) -> Self:
        """Check arrays by name and return the dump that they are.

        Args:
            arrays: As in the file.
            postprocess: Name and options of the post-processing; bounds need it.
            path: What messages call the dump.

        Raises:
            ValueError: As of :meth:`load`.
        """
        _check(arrays, path)
        candidates = None
        scored = "candidate_logit" in arrays or "candidate_score" in arrays
        if scored and postprocess is not None and all(name in arrays for name in _OF_BOUNDS):
            given = dict(arrays)
            given.setdefault("file_size", given["image_size"])
            given.setdefault("box_level", np.zeros(len(given["boxes"]), np.int64))
            if "candidate_logit" not in given:
                scores = given["candidate_score"].astype(np.float64)
                with np.errstate(divide="ignore"):
                    given["candidate_logit"] = np.log(scores) - np.log1p(-scores)
            candidates = RawCandidates(
                postprocess=postprocess,
                **{
                    name: given.get(name)  # type: ignore[arg-type]
                    for name in RawCandidates.__slots__
                    if name != "postprocess"
                },
            )
        return cls(
            positive_ranking_score=arrays.get("positive_ranking_score"),
            candidates=candidates,
            **{name: arrays[name] for name in _OF_BETA},
        )

    def positives(self, ground_truth: GroundTruth) -> PositiveTable:
        """Return the positives for beta_img.

        Raises:
            ValueError: If an image is not in the ground truth.
        """
        unknown = ~np.isin(self.positive_image_id, ground_truth.image_ids)
        if unknown.any():
            raise ValueError(
                "Expected `positive_image_id` to be images of the annotations, but got "
                f"{self.positive_image_id[unknown][0]} in row {int(np.argmax(unknown))}."
            )
        return PositiveTable(
            image_idx=np.searchsorted(ground_truth.image_ids, self.positive_image_id),
            scores=self.positive_score,
            ious=self.positive_iou,
            ranking_scores=self.positive_ranking_score,
        )


def write_raw(
    path: str | Path,
    images: Sequence[Mapping[str, Array]],
    postprocess: Mapping[str, Any] | None = None,
) -> None:
    """Write the dump of some images atomically.

    Args:
        path: The file.
        images: Arrays of one image each, by the names of the file; boxes are counted from 0 in
            each. An array has to be in all of them or in none.
        postprocess: Name and options of the post-processing.
    """
    arrays: dict[str, Array] = {}
    starts = np.cumsum([0, *(len(i["boxes"]) for i in images if "boxes" in i)])
    for name in images[0] if images else ():
        parts = [image[name] for image in images]
        if name in ("positive_box", "candidate_box"):
            parts = [rows + start for rows, start in zip(parts, starts, strict=False)]
        arrays[name] = np.concatenate(parts)
    for name in _OF_BETA:
        arrays.setdefault(name, np.zeros(0, np.int64 if name.endswith("id") else np.float32))
    RawDump.from_arrays(arrays, postprocess, path)
    if postprocess is not None:
        arrays["postprocess"] = np.array(json.dumps(dict(postprocess), sort_keys=True))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _check(arrays: Mapping[str, Array], path: Any) -> None:
    for name in _OF_BETA:
        if name not in arrays:
            raise ValueError(f"Expected an array `{name}` in {path}, but got none.")
    lengths: dict[str, tuple[str, int]] = {}
    for name, values in arrays.items():
        if name not in _ARRAYS:
            raise ValueError(f"Expected known arrays in {path}, but got `{name}`.")
        table, whole, width = _ARRAYS[name]
        shape = values.shape[1:] == ((width,) if width > 1 else ()) and values.ndim > 0
        if not shape or values.dtype.kind not in ("iu" if whole else "f"):
            wanted = "integers" if whole else "floating point numbers"
            size = f"(n, {width})" if width > 1 else "(n,)"
            raise ValueError(
                f"Expected `{name}` in {path} to be {wanted} of shape {size}, but got "
                f"{values.dtype} of shape {values.shape}."
            )
        if not whole and not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0][0])
            raise ValueError(f"Expected finite `{name}` in {path}, but not in row {row}.")
        first, length = lengths.setdefault(table, (name, len(values)))
        if len(values) != length:
            raise ValueError(
                f"Expected `{name}` and `{first}` in {path} to have one length, but got "
                f"{len(values)} and {length}."
            )
    _check_references(arrays, path)


def _check_references(arrays: Mapping[str, Array], path: Any) -> None:
    count = len(arrays.get("boxes", ()))
    for name in ("positive_box", "candidate_box"):
        rows = arrays.get(name, np.zeros(0, np.int64))
        if len(rows) and (rows.min() < 0 or rows.max() >= count):
            raise ValueError(
                f"Expected `{name}` in {path} to be rows of the {count} boxes, but got "
                f"{rows.min()} to {rows.max()}."
            )
    scores = arrays.get("candidate_score")
    if scores is not None and np.any((scores < 0) | (scores > 1)):
        raise ValueError(f"Expected `candidate_score` in {path} to be in [0, 1], but it is not.")
    for name in ("image_size", "file_size"):
        sizes = arrays.get(name)
        if sizes is not None and np.any(sizes < 1):
            row = int(np.argwhere(sizes < 1)[0][0])
            raise ValueError(
                f"Expected `{name}` in {path} to be at least 1 pixel, but got "
                f"{sizes[row].tolist()} in row {row}."
            )
    for name in ("positive_iou", "positive_score"):
        values = arrays[name]
        # The IoU of equal boxes exceeds 1 by rounding.
        if len(values) and (values.min() < 0 or values.max() > 1 + 1e-6):
            row = int(np.argmax((values < 0) | (values > 1 + 1e-6)))
            raise ValueError(
                f"Expected `{name}` in {path} to be in [0, 1], but got {values[row]:g} in "
                f"row {row}."
            )
    if "image_id" in arrays:
        _check_image_ids(arrays, path)
    _check_owners(arrays, path)


def _check_image_ids(arrays: Mapping[str, Array], path: Any) -> None:
    images = arrays["image_id"]
    if len(np.unique(images)) < len(images):
        raise ValueError(f"Expected every `image_id` in {path} once, but one comes again.")
    for name in ("positive_image_id", "box_image_id"):
        ids = arrays.get(name, images)
        unknown = ids[~np.isin(ids, images)]
        if len(unknown):
            raise ValueError(
                f"Expected `{name}` in {path} to be in `image_id`, but got {unknown[0]}."
            )


def _check_owners(arrays: Mapping[str, Array], path: Any) -> None:
    """Check that the box of every positive is one of the positive's image."""
    if not {"positive_box", "box_image_id"} <= set(arrays):
        return
    owner = arrays["box_image_id"][arrays["positive_box"]]
    wrong = owner != arrays["positive_image_id"]
    if np.any(wrong):
        row = int(np.argmax(wrong))
        raise ValueError(
            f"Expected `positive_box` in {path} to be a box of the positive's image, but row {row} "
            f"of image {arrays['positive_image_id'][row]} names a box of image {owner[row]}."
        )


def _options(text: Array, path: Any) -> dict[str, Any]:
    try:
        options = json.loads(str(text))
    except json.JSONDecodeError:
        options = None
    if not isinstance(options, dict) or not isinstance(options.get("name"), str):
        raise ValueError(
            f'Expected `postprocess` in {path} to be JSON with a "name", but got {str(text)!r:.60}.'
        )
    return options
