"""beta_img as a metric."""

from __future__ import annotations

from corrlight.metrics.base import MetricResult, Number
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.image_correlation import image_correlation

__all__ = ["ImageCorrelation"]


class ImageCorrelation:
    """Image-level correlation on class scores (``beta_img``) and on ranking scores.

    Both are None where no positives were recorded, as in a results file.
    """

    def __call__(self, evaluation: Evaluation) -> MetricResult:
        """Return beta_img, beta_img_ranking and how many images have a defined correlation."""
        table = evaluation.positives
        values: dict[str, Number] = {}
        columns = {
            "beta_img": None if table is None else table.scores,
            "beta_img_ranking": None if table is None else table.ranking_scores,
        }
        for name, scores in columns.items():
            if table is None or scores is None:
                values |= {name: None, f"num_images_{name}": 0}
                continue
            num_images = evaluation.ground_truth.num_images
            found = image_correlation(scores, table.ious, table.image_idx, num_images)
            values |= {name: found.mean, f"num_images_{name}": found.num_defined}
        return MetricResult(values=values)
