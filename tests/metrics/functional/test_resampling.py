import numpy as np
import pytest

from corrlight.coco.results import PositiveTable
from corrlight.metrics import Evaluation
from corrlight.metrics.functional import class_correlation, coco_evaluate, olrp
from corrlight.metrics.functional.resampling import (
    ResampledMeasures,
    bootstrap_weights,
    interval,
)
from tests.metrics.coco_oracle import random_dataset


def measured(gt, dt):
    """The evaluation and its own numbers."""
    evaluation = Evaluation.from_coco(gt, dt)
    values = coco_evaluate(evaluation).values | olrp(evaluation).values
    return evaluation, values | {"beta_cls": class_correlation(evaluation).mean}


def repeated(gt, dt, counts):
    """The data set with every image ``counts[id]`` times, under ids of their own."""
    out = {"images": [], "annotations": [], "categories": gt["categories"]}
    found = []
    for image, count in counts.items():
        for copy in range(count):
            new = image * 100 + copy
            out["images"].append({"id": new})
            out["annotations"] += [
                {k: v for k, v in a.items() if k != "id"} | {"image_id": new}
                for a in gt["annotations"]
                if a["image_id"] == image
            ]
            found += [d | {"image_id": new} for d in dt if d["image_id"] == image]
    return out, found


@pytest.mark.parametrize("seed", range(15))
def test_weights_are_repeated_images(seed):
    rng = np.random.default_rng(seed)
    gt, dt = random_dataset(rng, 7, 3, ties=False, crowds=True)
    evaluation, own = measured(gt, dt)
    resampled = ResampledMeasures(evaluation)
    drawn = bootstrap_weights(7, rng)
    counts = dict(zip(evaluation.ground_truth.image_ids.tolist(), drawn.tolist(), strict=True))
    for weights, expected in (
        (np.ones(7, np.int64), own),
        (drawn, measured(*repeated(gt, dt, counts))[1]),
    ):
        values = resampled(weights)
        assert {"AP", "AP50", "AP75", "AP_small", "oLRP", "oLRP_Loc", "beta_cls"} <= set(values)
        for name, value in values.items():
            truth = np.nan if expected[name] is None else expected[name]
            assert value == pytest.approx(truth, abs=1e-12, nan_ok=True), name


def test_beta_img_is_the_weighted_mean_of_the_images():
    gt, dt = random_dataset(np.random.default_rng(1), 3, 2, ties=False, crowds=False)
    evaluation = Evaluation.from_coco(gt, dt)
    table = PositiveTable(
        image_idx=np.array([0, 0, 0, 1, 2, 2]),
        scores=np.array([0.1, 0.5, 0.9, 0.3, 0.2, 0.7]),
        ious=np.array([0.2, 0.4, 0.6, 0.5, 0.9, 0.1]),
        ranking_scores=None,
    )
    resampled = ResampledMeasures(Evaluation(evaluation.ground_truth, evaluation.results, table))
    assert resampled(np.array([1, 1, 1]))["beta_img"] == pytest.approx(0)  # 1 and -1
    assert resampled(np.array([3, 5, 1]))["beta_img"] == pytest.approx(0.5)
    assert np.isnan(resampled(np.array([0, 3, 0]))["beta_img"])
    assert "beta_img_ranking" not in resampled(np.array([1, 1, 1]))


def test_draws():
    weights = bootstrap_weights(50, np.random.default_rng(0))
    assert weights.sum() == 50
    assert len(weights) == 50
    assert 10 < np.count_nonzero(weights == 0) < 30  # 1 / e of them
    assert len(bootstrap_weights(0, np.random.default_rng(0))) == 0


def test_intervals():
    assert interval(np.arange(1001) / 1000) == pytest.approx((0.025, 0.975))
    assert interval([0.5, np.nan, 0.5]) == (0.5, 0.5)
    assert interval([0.5, np.nan, np.nan]) is None
    assert interval([]) is None
