"""beta_img: correlation of score and IoU within an image, before post-processing."""

from __future__ import annotations

import numpy.typing as npt

from corrlight.metrics.functional.grouped_correlation import (
    CoefficientName,
    GroupedCorrelation,
    grouped_correlation,
)

__all__ = ["image_correlation"]


def image_correlation(
    scores: npt.ArrayLike,
    ious: npt.ArrayLike,
    image_idx: npt.ArrayLike,
    num_images: int,
    coefficient: CoefficientName = "spearman",
    min_positives: int = 2,
) -> GroupedCorrelation:
    """Correlate scores and IoUs of the positives of every image (Eq. 3.1 of the thesis).

    Args:
        scores: ``(P,)`` scores of the ground-truth class, positives of all images.
        ious: ``(P,)`` IoU of each positive with its ground truth.
        image_idx: ``(P,)`` image of each positive in ``[0, num_images)``.
        num_images: Number of images, those without positives included.
        coefficient: "spearman" is the thesis' choice.
        min_positives: An image with fewer has no coefficient.

    Returns:
        One coefficient an image. ``mean`` is beta_img: the mean over the ``num_defined`` images
        that have one. The thesis' sum over all images leaves open what the others contribute;
        they are left out, and counted.
    """
    return grouped_correlation(scores, ious, image_idx, num_images, coefficient, min_positives)
