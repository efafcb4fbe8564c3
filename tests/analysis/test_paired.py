from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control

from corrlight.analysis.intervals import bootstrap, difference_estimates
from corrlight.analysis.paired import benjamini_hochberg, class_tests, image_counts
from corrlight.analysis.results_file import Analysis
from corrlight.metrics import Evaluation
from corrlight.metrics.functional.resampling import ResampledMeasures


@pytest.mark.parametrize("seed", range(5))
def test_adjusted_p_values_are_scipys(seed):
    p = np.random.default_rng(seed).random(20) ** 3
    assert benjamini_hochberg(p) == pytest.approx(false_discovery_control(p))
    holes = np.insert(p, [0, 7], np.nan)
    assert benjamini_hochberg(holes)[[0, 8]].tolist() == pytest.approx([np.nan] * 2, nan_ok=True)
    assert benjamini_hochberg(holes[1:8]) == pytest.approx(false_discovery_control(p[:7]))


def analysis(gt, dt):
    evaluation = Evaluation.from_coco(gt, dt)
    resampled = ResampledMeasures(evaluation)
    values = resampled(np.ones(len(gt["images"]), np.int64))
    return Analysis(
        name="", path=Path(), metrics=dict(values), per_class=[], figures={}, prefixes=("",),
        resampled={"": resampled}, warnings=[], seconds={},
    )  # fmt: skip


@pytest.fixture(scope="module")
def files():
    """Two classes in 40 images; the second file finds class 1 better, and is equal in class 2."""
    rng = np.random.default_rng(0)
    gt = {
        "images": [{"id": i, "width": 99, "height": 99} for i in range(40)],
        "categories": [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}],
        "annotations": [
            {"id": 2 * i + c, "image_id": i, "category_id": c, "bbox": [40 * c - 40, 0, 30, 30],
             "area": 900, "iscrowd": 0}
            for i in range(30) for c in (1, 2)
        ],
    }  # fmt: skip
    worse, better = [], []
    for a in gt["annotations"]:
        x, y, w, h = a["bbox"]
        iou = rng.uniform(0.55, 0.75)
        found = {"image_id": a["image_id"], "category_id": a["category_id"], "score": rng.random()}
        worse.append(found | {"bbox": [x, y, w * iou, h]})
        good = 0.95 if a["category_id"] == 1 else iou
        better.append(found | {"bbox": [x, y, w * good, h]})
    return gt, worse, better


def test_the_class_that_differs_is_named(files):
    gt, worse, better = files
    first, second = analysis(gt, worse), analysis(gt, better)
    samples = bootstrap([first, second], 40, 40)
    tests = class_tests(*samples, difference_estimates(*samples), ["one", "two"])
    assert tests["AP"].num_tested == 2
    (real,) = tests["AP"].real
    assert real.name == "one"
    assert real.difference > 0.3
    assert real.p <= real.q <= 0.05
    assert {c.name for c in tests["oLRP"].real} == {"one"}
    same = bootstrap([first, first], 40, 40)
    assert not any(
        t.real for t in class_tests(*same, difference_estimates(*same), ["one", "two"]).values()
    )


def test_images_are_counted(files):
    gt, worse, better = files
    first, second = analysis(gt, worse), analysis(gt, better)
    counts = image_counts(first, second)[""]
    assert (counts.better, counts.worse, counts.equal) == (30, 0, 0)  # 10 images hold nothing
    assert counts.p == pytest.approx(binomtest(0, 30).pvalue)
    turned = image_counts(second, first)[""]
    assert (turned.better, turned.worse) == (0, 30)
    same = image_counts(first, first)[""]
    assert (same.better, same.worse, same.equal, same.p) == (0, 0, 30, None)
