import numpy as np
import pytest

from corrlight.metrics.functional import calibration


def test_bins():
    bins = calibration([0.0, 0.05, 0.1, 0.55, 1.0], [0.2, 0.4, 0.6, 0.5, 0.9])
    assert bins.counts.tolist() == [2, 1, 0, 0, 0, 1, 0, 0, 0, 1]
    np.testing.assert_allclose(bins.mean_score[[0, 1, 5, 9]], [0.025, 0.1, 0.55, 1.0])
    np.testing.assert_allclose(bins.mean_iou[[0, 1, 5, 9]], [0.3, 0.6, 0.5, 0.9])
    assert np.isnan(bins.mean_iou[2])
    # |0.275| twice, |0.5|, |0.05|, |0.1|
    assert bins.error == pytest.approx((2 * 0.275 + 0.5 + 0.05 + 0.1) / 5)


def test_perfect_calibration_and_nothing():
    scores = np.linspace(0, 1, 101)
    assert calibration(scores, scores).error == pytest.approx(0, abs=1e-12)
    assert calibration([], []).error is None


def test_errors():
    with pytest.raises(ValueError, match=r"`num_bins` .* but got 0"):
        calibration([0.5], [0.5], 0)
    with pytest.raises(ValueError, match=r"`scores` in \[0, 1\], but got 1\.5"):
        calibration([0.5, 1.5], [0.5, 0.5])
