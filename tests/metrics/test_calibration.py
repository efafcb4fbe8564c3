import numpy as np
import pytest

from corrlight.metrics import Calibration, Evaluation
from corrlight.metrics.functional import calibration, score_iou_pairs
from tests.metrics.coco_oracle import by_hand, example


def test_by_hand():
    """Scores 0.9, 0.5, 0.25 lie in bins of their own; their best IoUs are 0.8, 0 and 0.6."""
    values = Calibration()(Evaluation.from_coco(*by_hand())).values
    expected = (abs(0.9 - 0.8) + abs(0.5 - 0) + abs(0.25 - 0.6)) / 3
    assert values == {"calibration_error": pytest.approx(expected)}
    (error,) = Calibration(1)(Evaluation.from_coco(*by_hand())).values.values()
    assert error == pytest.approx(abs((0.9 + 0.5 + 0.25) / 3 - (0.8 + 0.6) / 3))


@pytest.mark.parametrize("num_bins", [1, 5, 10])
def test_it_is_that_of_the_function(num_bins):
    evaluation = Evaluation.from_coco(*example())
    pairs = score_iou_pairs(evaluation)
    error = calibration(pairs.scores, pairs.ious, num_bins).error
    assert Calibration(num_bins)(evaluation).values == {"calibration_error": error}


@pytest.mark.parametrize("scores", [(), (1.5,), (-0.1, 0.5)])
def test_undefined_without_detections_and_for_scores_that_are_no_shares(scores):
    gt, dt = by_hand()
    found = [{**dt[0], "score": s} for s in scores]
    evaluation = Evaluation.from_coco(gt, found)
    assert np.array_equal(np.sort(evaluation.scores), np.sort(scores))
    assert Calibration()(evaluation).values == {"calibration_error": None}


def test_a_number_of_bins_is_needed():
    with pytest.raises(ValueError, match=r"`num_bins` .* but got 0"):
        Calibration(0)
