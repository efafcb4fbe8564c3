"""Positives of validation images, image by image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from corrlight.coco.types import Array
from corrlight.metrics.functional import image_correlation
from corrlight.metrics.functional.grouped_correlation import CoefficientName, measure_name
from corrlight.structures import Positives

__all__ = ["PositiveRecords"]

_COEFFICIENTS: tuple[CoefficientName, ...] = ("spearman", "pearson", "concordance")


class PositiveRecords:
    """Scores and IoUs of the positives of every image that was seen.

    An image with an id is kept once, as it was seen last: samplers repeat images to fill a batch.
    """

    def __init__(self) -> None:
        self._images: dict[int | str, tuple[Array, Array]] = {}

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        return iter(self._images.values())

    def clear(self) -> None:
        """Forget all images."""
        self._images.clear()

    def of(self, image_id: int) -> tuple[Array, Array]:
        """Return ``(P,)`` scores and IoUs of an image.

        Raises:
            ValueError: It was not seen.
        """
        if image_id not in self._images:
            raise ValueError(
                f"Expected the positives of image {image_id}, but the detector did not see it "
                "with its objects in evaluation mode."
            )
        return self._images[image_id]

    def add(self, positives: Positives, image_ids: Sequence[int | None]) -> None:
        """Add the images of a batch.

        Args:
            positives: Of the batch, detached.
            image_ids: Of every image, None where it has none.
        """
        scores, ious = positives.scores.cpu().numpy(), positives.ious().cpu().numpy()
        image_idx = positives.image_idx.cpu().numpy()
        for k, image_id in enumerate(image_ids):
            mine = image_idx == k
            key = f"image {len(self._images)}" if image_id is None else image_id
            self._images[key] = (scores[mine], ious[mine])

    def measures(self) -> dict[str, float | int | None]:
        """Return beta_img with three coefficients, and how many images have one.

        The names are those of ``corrlight analyze``; a measure is None where no image has one.
        """
        counts = [len(scores) for scores, _ in self]
        scores = np.concatenate([s for s, _ in self]) if counts else np.zeros(0)
        ious = np.concatenate([i for _, i in self]) if counts else np.zeros(0)
        image_idx = np.repeat(np.arange(len(counts)), counts)
        values: dict[str, float | int | None] = {}
        for coefficient in _COEFFICIENTS:
            found = image_correlation(scores, ious, image_idx, len(counts), coefficient)
            name = measure_name("beta_img", coefficient)
            values |= {name: found.mean, f"num_images_{name}": found.num_defined}
        return values
