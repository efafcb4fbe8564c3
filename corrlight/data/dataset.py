"""Images and annotations of a COCO-format folder as samples."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from corrlight.data.coco import CocoAnnotations
from corrlight.data.decoded import shared_pixels
from corrlight.data.images import BadImageError, decode_image
from corrlight.data.transforms import Sample, Transform, apply_transforms
from corrlight.structures import Size

__all__ = ["Cache", "CocoDataset", "OnBadImage", "SampleKey"]

Cache = Literal["none", "ram"]
OnBadImage = Literal["raise", "skip"]
# Above this share of the images, skipping is no answer any more; one image always is.
_MOST_SKIPPED = 0.01
# Image index and the seed of its augmentation.
SampleKey = tuple[int, int]

log = logging.getLogger(__name__)


class CocoDataset(Dataset[Sample]):
    """The images of an annotation file, decoded and transformed.

    Objects narrower or lower than one pixel, without area or wholly outside the image are no
    targets, and boxes are cut to the image, as published. Crowds are kept apart.

    Args:
        annotations: The checked annotations.
        image_folder: Folder that their file names are relative to.
        transforms: Applied in their order.
        indices: The images to use, as positions in ``annotations``; all by default.
        cache: "ram" decodes every image once, when the data set is made, into one buffer that
            worker processes share, and the jobs of a sweep (:mod:`corrlight.data.decoded`);
            "none" decodes on demand.
        load_masks: Whether samples carry masks.
        bit_depth: See :func:`corrlight.data.images.decode_image`.
        on_bad_image: What happens with an image that cannot be decoded: "raise", or "skip", which
            takes the next one in its place, says so once an image and raises where more than 1 %
            of the images (and more than one) are bad. Worker processes count together.

    Raises:
        ValueError: If ``cache`` or ``on_bad_image`` is unknown; with ``cache="ram"``, if an image
            is unreadable or memory has no room for all.
    """

    def __init__(
        self,
        annotations: CocoAnnotations,
        image_folder: Path,
        transforms: Sequence[Transform] = (),
        *,
        indices: Sequence[int] | None = None,
        cache: Cache = "none",
        load_masks: bool = False,
        bit_depth: int | None = None,
        on_bad_image: OnBadImage = "raise",
    ) -> None:
        if on_bad_image not in get_args(OnBadImage):
            raise ValueError(
                f"Expected `on_bad_image` to be 'raise' or 'skip', but got {on_bad_image!r}."
            )
        if cache not in get_args(Cache):
            raise ValueError(f"Expected `cache` to be 'none' or 'ram', but got {cache!r}.")
        self.annotations = annotations
        self.image_folder = image_folder
        self.transforms = tuple(transforms)
        self.indices = np.arange(len(annotations)) if indices is None else np.asarray(indices)
        self.load_masks = load_masks
        self.bit_depth = bit_depth
        self._bad: Tensor | None = None
        if on_bad_image == "skip":
            self._bad = torch.zeros(len(self.indices), dtype=torch.bool).share_memory_()
        self._buffer: Tensor | None = None
        self._starts = np.zeros(1, np.int64)
        if cache == "ram":
            self._fill_cache()

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def sizes(self) -> list[Size]:
        """Height and width of every file."""
        return [(int(h), int(w)) for h, w in self.annotations.sizes[self.indices]]

    @property
    def num_skipped(self) -> int:
        """Images that could not be decoded so far, in all processes together."""
        return 0 if self._bad is None else int(self._bad.sum())

    @property
    def image_ids(self) -> list[int]:
        """The data set's id of every image."""
        return self.annotations.image_ids[self.indices].tolist()

    def __getitem__(self, key: int | SampleKey) -> Sample:
        """Return a transformed sample.

        Args:
            key: Position of the image, alone or with the seed of its augmentation (default 0).

        Raises:
            BadImageError: If the file cannot be decoded; it names the file.
        """
        index, seed = key if isinstance(key, tuple) else (key, 0)
        sample = self._only(int(index)) if self._bad is None else self._next_good(int(index))
        # Constructing a generator costs more than a resize-free sample without random steps.
        return apply_transforms(self.transforms, sample, np.random.Generator(np.random.PCG64(seed)))

    def _only(self, index: int) -> Sample:
        """Return the sample of an image; without ``on_bad_image="skip"``, that is the way out."""
        try:
            return self._sample(index)
        except BadImageError as error:
            raise BadImageError(
                f"{error} data.check_images=decode finds such images before the start, "
                "data.on_bad_image=skip leaves up to 1 % of them out."
            ) from None

    def _next_good(self, index: int) -> Sample:
        """Return the sample of the first image from ``index`` on that can be decoded."""
        assert self._bad is not None
        while True:
            if not self._bad[index]:
                try:
                    return self._sample(index)
                except BadImageError as error:
                    self._skip(index, error)
            index = (index + 1) % len(self)

    def _skip(self, index: int, error: BadImageError) -> None:
        """Note an image as bad; raises where they are too many."""
        assert self._bad is not None
        self._bad[index] = True
        if self.num_skipped > max(1, _MOST_SKIPPED * len(self)):
            raise BadImageError(
                f"{error} It is number {self.num_skipped} of {len(self):,} images, and "
                f"on_bad_image=skip takes at most 1 %: data.check_images=decode lists them all."
            ) from None
        log.warning("Left out, another image takes its place: %s", error)

    def _sample(self, index: int) -> Sample:
        data, k = self.annotations, int(self.indices[index])
        size = int(data.sizes[k, 0]), int(data.sizes[k, 1])
        rows = data.rows(k)
        boxes, crowd = data.boxes[rows], data.crowd[rows]
        clipped = np.clip(boxes, 0, np.array([size[1], size[0]] * 2, np.float32))
        usable = data.usable[rows]
        targets = np.flatnonzero(usable & ~crowd)
        masks = None
        if self.load_masks:
            masks = torch.from_numpy(data.masks(targets + rows.start, size))
        return Sample(
            image=self._image(index),
            boxes=torch.from_numpy(clipped[targets]),
            labels=torch.from_numpy(data.labels[rows][targets]),
            crowd_boxes=torch.from_numpy(clipped[usable & crowd]),
            masks=masks,
            original_size=size,
            image_id=int(data.image_ids[k]),
        )

    def _image(self, index: int) -> Tensor:
        """Return the ``(3, H, W)`` uint8 image."""
        if self._buffer is None:
            return torch.from_numpy(self._decoded(index))
        h, w = self.annotations.sizes[self.indices[index]]
        start, stop = self._starts[index : index + 2]
        return self._buffer[start:stop].view(3, int(h), int(w))

    def _decoded(self, index: int) -> Any:
        k = int(self.indices[index])
        h, w = self.annotations.sizes[k]
        path = self.image_folder / self.annotations.file_names[k]
        return np.ascontiguousarray(
            decode_image(path, (int(h), int(w)), self.bit_depth).transpose(2, 0, 1)
        )

    def _fill_cache(self) -> None:
        sizes = self.annotations.sizes[self.indices]
        self._starts = np.concatenate([[0], np.cumsum(3 * sizes.prod(1))])
        needed = int(self._starts[-1])
        pixels = None
        if self._bad is None:  # Another job would not know which of them are bad.
            files = [self.image_folder / self.annotations.file_names[k] for k in self.indices]
            how = [sizes.tolist(), self.bit_depth]
            pixels = shared_pixels(files, how, needed, self._decode_all)
        if pixels is None:
            try:
                pixels = np.empty(needed, np.uint8)
            except MemoryError:
                raise ValueError(
                    f"Expected room in memory for {len(self):,} decoded images (data.cache=ram), "
                    f"but got none for their {needed / 2**30:.1f} GiB: data.cache=none decodes on "
                    "demand."
                ) from None
            self._decode_all(pixels)
        self._buffer = torch.from_numpy(pixels)

    def _decode_all(self, pixels: npt.NDArray[Any]) -> None:
        """Decode every image into its place of ``pixels``."""
        for index, (start, stop) in enumerate(zip(self._starts, self._starts[1:], strict=False)):
            try:
                pixels[start:stop] = self._decoded(index).reshape(-1)
            except BadImageError as error:
                if self._bad is None:
                    raise
                self._skip(index, error)
        log.debug("Decoded %s images into %.0f MB of RAM", f"{len(self):,}", pixels.nbytes / 1e6)
