"""Images and annotations of a COCO-format folder as samples."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from corrlight.data.coco import CocoAnnotations
from corrlight.data.images import decode_image
from corrlight.data.transforms import Sample, Transform, apply_transforms
from corrlight.structures import Size

__all__ = ["Cache", "CocoDataset", "SampleKey"]

Cache = Literal["none", "ram"]
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
            worker processes share; "none" decodes on demand.
        load_masks: Whether samples carry masks.

    Raises:
        ValueError: If ``cache`` is unknown, or an image is unreadable with ``cache="ram"``.
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
    ) -> None:
        if cache not in get_args(Cache):
            raise ValueError(f"Expected `cache` to be 'none' or 'ram', but got {cache!r}.")
        self.annotations = annotations
        self.image_folder = image_folder
        self.transforms = tuple(transforms)
        self.indices = np.arange(len(annotations)) if indices is None else np.asarray(indices)
        self.load_masks = load_masks
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
    def image_ids(self) -> list[int]:
        """The data set's id of every image."""
        return self.annotations.image_ids[self.indices].tolist()

    def __getitem__(self, key: int | SampleKey) -> Sample:
        """Return a transformed sample.

        Args:
            key: Position of the image, alone or with the seed of its augmentation (default 0).

        Raises:
            ValueError: If the file cannot be decoded; it names the file.
        """
        index, seed = key if isinstance(key, tuple) else (key, 0)
        sample = self._sample(int(index))
        # Constructing a generator costs more than a resize-free sample without random steps.
        return apply_transforms(self.transforms, sample, np.random.Generator(np.random.PCG64(seed)))

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
        return np.ascontiguousarray(decode_image(path, (int(h), int(w))).transpose(2, 0, 1))

    def _fill_cache(self) -> None:
        sizes = self.annotations.sizes[self.indices]
        self._starts = np.concatenate([[0], np.cumsum(3 * sizes.prod(1))])
        buffer = np.empty(int(self._starts[-1]), np.uint8)
        for index, (start, stop) in enumerate(zip(self._starts, self._starts[1:], strict=False)):
            buffer[start:stop] = self._decoded(index).reshape(-1)
        self._buffer = torch.from_numpy(buffer)
        log.debug("Decoded %s images into %.0f MB of RAM", f"{len(self):,}", buffer.nbytes / 1e6)
