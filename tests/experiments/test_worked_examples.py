"""Figures 2.3, 2.4 and 3.1, and Table 2.1, against the textbook."""

import numpy as np
import pytest
from scipy import stats

from corrlight.metrics.functional import coco_evaluate
from experiments.figure_2_3 import TABLE as FIGURE_2_3
from experiments.figure_2_3 import points
from experiments.figure_3_1 import evaluate, precision_at, survivors
from experiments.harness.collection import Collected
from experiments.table_2_1 import METHODS, added_by_detector, added_parameters

EMPTY = Collected(results={}, toy=False)


def test_the_three_point_sets_have_the_coefficients_that_scipy_finds():
    lines = FIGURE_2_3.as_grid(EMPTY).lines
    for line, (_, _, _, x, y) in zip(lines, points(), strict=True):
        x, y = x.numpy(), y.numpy()
        spread = 2 * np.cov(x, y)[0, 1]
        lin = spread / (x.var(ddof=1) + y.var(ddof=1) + (x.mean() - y.mean()) ** 2)
        expected = [stats.pearsonr(x, y)[0], stats.spearmanr(x, y)[0], lin]
        assert [float(cell) for cell in line[1:]] == pytest.approx(expected, abs=6e-4)
    assert [float(cell) for cell in lines[0][1:]] == [1, 1, 1]
    assert float(lines[1][1]) == 1  # Pearson does not see the slope,
    assert float(lines[1][3]) < 0.9  # concordance does.


def test_nms_keeps_the_best_box_if_scores_follow_the_iou_and_the_worst_if_they_oppose_it():
    assert survivors("positive").ious.tolist() == pytest.approx([0.9, 0.9], abs=1e-3)
    assert survivors("negative").ious.tolist() == pytest.approx([0.6, 0.6], abs=1e-3)


def test_precision_of_the_first_detection_is_the_thesis_example():
    """P75 of the best box is 1.00 with positive and 0.20 with negative correlation."""
    assert precision_at("positive", 0.75)[0] == 1.0
    assert precision_at("negative", 0.75)[-1] == pytest.approx(0.2)


@pytest.mark.parametrize("correlation", ["positive", "negative"])
def test_ap_follows_the_written_out_precisions(correlation):
    evaluation, values = evaluate(correlation)
    assert values["AP50"] == pytest.approx(1.0)
    precision = precision_at(correlation, 0.75)
    best = max(precision)
    assert values["AP75"] == pytest.approx(21 / 101 * best)  # recalls 0, 0.01, ..., 0.20
    assert coco_evaluate(evaluation).values["AP"] == values["AP"]


def test_positive_correlation_gives_the_higher_ap():
    assert evaluate("positive")[1]["AP"] > evaluate("negative")[1]["AP"]


@pytest.mark.parametrize("method", METHODS)
def test_only_the_auxiliary_head_adds_parameters(method):
    """A 3x3 convolution from 64 channels to one, with bias, on the small ATSS."""
    expected = 64 * 9 + 1 if method == "Using Aux Head" else 0
    assert added_parameters(method, "atss_small") == expected


def test_correlation_loss_adds_no_parameters_to_the_detectors_compared_with():
    # Four sides of 9 bins instead of one number; GFLv2 has two small layers more.
    distributions = 4 * 8 * (64 * 9 + 1)
    assert added_by_detector("GFL", small=True) == (distributions, 0)
    assert added_by_detector("GFLv2", small=True) == (distributions + 1_409, 0)
