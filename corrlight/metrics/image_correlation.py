"""beta_img as a metric."""

from __future__ import annotations

from corrlight.metrics.base import MetricResult, Number
from corrlight.metrics.evaluation import Evaluation
from corrlight.metrics.functional.grouped_correlation import (
    CoefficientName,
    check_coefficient,
    measure_name,
)
from corrlight.metrics.functional.image_correlation import image_correlation
from corrlight.metrics.metric import Metric

__all__ = ["ImageCorrelation"]


class ImageCorrelation(Metric):
    """Image-level correlation on class scores (``beta_img``) and on ranking scores.

    All are None where no positives were recorded, as in a results file.

    Args:
        coefficient: "spearman" gives ``beta_img`` and ``beta_img_ranking``, another one
            ``beta_img_pearson`` and so on.
    """

    of_positives = True

    def __init__(self, coefficient: CoefficientName = "spearman") -> None:
        self.coefficient = check_coefficient(coefficient)

    def __call__(self, evaluation: Evaluation) -> MetricResult:
        """Return both and how many images have a defined correlation."""
        table = evaluation.positives
        values: dict[str, Number] = {}
        columns = {
            "beta_img": None if table is None else table.scores,
            "beta_img_ranking": None if table is None else table.ranking_scores,
        }
        for column, scores in columns.items():
            name = measure_name(column, self.coefficient)
            if table is None or scores is None:
                values |= {name: None, f"num_images_{name}": 0}
                continue
            num_images = evaluation.ground_truth.num_images
            found = image_correlation(
                scores, table.ious, table.image_idx, num_images, self.coefficient
            )
            values |= {name: found.mean, f"num_images_{name}": found.num_defined}
        return MetricResult(values=values)
