import numpy as np
import pytest
import torch
from scipy import stats

from corrlight.metrics.functional import image_correlation


def test_is_the_mean_over_images_of_scipys_spearman():
    rng = np.random.default_rng(0)
    image_idx = np.repeat([0, 2, 3], [30, 5, 200])
    scores, ious = rng.random((2, 235))
    found = image_correlation(scores, ious, image_idx, 5)
    expected = [
        stats.spearmanr(scores[image_idx == i], ious[image_idx == i]).statistic for i in (0, 2, 3)
    ]
    assert found.mean == pytest.approx(np.mean(expected), abs=1e-12)
    assert found.num_defined == 3
    assert found.counts.tolist() == [30, 0, 5, 200, 0]


def test_takes_tensors_and_needs_two_positives():
    scores, ious = torch.tensor([0.2, 0.8, 0.3]), torch.tensor([0.9, 0.6, 0.7])
    found = image_correlation(scores, ious, torch.tensor([0, 0, 1]), 2)
    assert found.mean == pytest.approx(-1)
    assert found.num_defined == 1
    assert image_correlation(scores, ious, [0, 0, 1], 2, min_positives=3).mean is None
