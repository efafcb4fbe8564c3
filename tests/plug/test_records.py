"""Positives of validation images, image by image."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from corrlight.plug.records import PositiveRecords
from tests.plug.batches import detached, positives_of


def test_measures_are_means_over_the_images():
    records = PositiveRecords()
    positives = positives_of([0] * 6 + [1] * 5)
    records.add(detached(positives), [4, 7, 9])
    assert len(records) == 3
    found = records.measures()
    pairs = [records.of(4), records.of(7)]
    for name, function in (("beta_img_pearson", pearsonr), ("beta_img", spearmanr)):
        expected = np.mean([function(scores, ious).statistic for scores, ious in pairs])
        assert found[name] == pytest.approx(expected, abs=1e-6)
        assert found[f"num_images_{name}"] == 2
    assert len(records.of(9)[0]) == 0


def test_an_image_counts_once_and_without_an_id_every_time():
    records = PositiveRecords()
    first, second = (detached(positives_of([0] * 3, seed=s)) for s in (1, 2))
    records.add(first, [5])
    records.add(second, [5])
    assert len(records) == 1
    assert np.array_equal(records.of(5)[0], second.scores.numpy())
    records.add(first, [None])
    records.add(first, [None])
    assert len(records) == 3
    records.clear()
    assert len(records) == 0


def test_undefined_is_none():
    records = PositiveRecords()
    assert records.measures()["beta_img"] is None
    records.add(detached(positives_of([0])), [1])
    assert records.measures() == {
        **dict.fromkeys(("beta_img", "beta_img_pearson", "beta_img_concordance"), None),
        **{
            f"num_images_{name}": 0
            for name in ("beta_img", "beta_img_pearson", "beta_img_concordance")
        },
    }


def test_an_image_that_was_not_seen():
    with pytest.raises(ValueError, match=r"^Expected the positives of image 3, but the detector"):
        PositiveRecords().of(3)
