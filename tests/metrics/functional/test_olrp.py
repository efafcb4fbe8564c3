import numpy as np
import pytest

from corrlight.metrics import Evaluation
from corrlight.metrics.functional import lrp_curve, olrp
from corrlight.metrics.matching import AREA_RANGES
from tests.helpers.paths import golden_root
from tests.metrics.coco_oracle import random_dataset
from tests.metrics.functional import golden_cases

PARTS = {
    "olrp": "olrp",
    "olrp_loc": "loc",
    "olrp_fp": "fp",
    "olrp_fn": "fn",
    "lrp_opt_thr": "threshold",
}


@pytest.mark.golden
@pytest.mark.parametrize("name", golden_cases.case_names())
def test_golden_stats(name):
    stats = golden_cases.result(name)["stats"]
    values = olrp(golden_cases.evaluation(name)).values
    assert len(values) == 7
    for key, value in values.items():
        theirs = stats[key]
        undefined = theirs is None or theirs == -1
        assert value == (None if undefined else pytest.approx(theirs, abs=1e-9)), key


@pytest.mark.golden
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", golden_cases.case_names())
def test_golden_classes_and_areas(name, part):
    with np.load(golden_root() / "metrics.npz") as archive:
        theirs = archive[f"{name}/{part}"][..., 2]  # at 100 detections
    theirs = np.where(theirs == -1, np.nan, theirs)
    ours = getattr(olrp(golden_cases.evaluation(name)), PARTS[part])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


def brute_force(evaluation, label, area):
    """Try every number of kept detections, one at a time, with the definition typed out."""
    matches = evaluation.matches(area)
    order = evaluation.class_order[evaluation.class_slices[label]]
    errors = []
    for n in range(1, len(order) + 1):
        kept = [d for d in order[:n] if not matches.ignored[0, d]]
        ious = [matches.iou[0, d] for d in kept if matches.gt[0, d] >= 0]
        fp, fn = len(kept) - len(ious), matches.num_gt[label] - len(ious)
        errors.append((sum((1 - x) / 0.5 for x in ious) + fp + fn) / (len(ious) + fp + fn))
    return errors


@pytest.mark.parametrize("seed", range(3))
def test_curve_equals_the_definition(seed):
    gt, dt = random_dataset(np.random.default_rng(seed), 10, 2, ties=seed == 1, crowds=True)
    evaluation = Evaluation.from_coco(gt, dt)
    numbers = olrp(evaluation)
    compared = 0
    for a, area in enumerate(AREA_RANGES):
        for label in np.flatnonzero(evaluation.matches(area).num_gt):
            expected = brute_force(evaluation, label, area)
            curve = lrp_curve(evaluation, label, area)
            np.testing.assert_allclose(curve.lrp, expected, atol=1e-12)
            if not np.isnan(numbers.threshold[label, a]):
                assert numbers.olrp[label, a] == pytest.approx(min(expected), abs=1e-12)
                compared += 1
    assert compared >= 4


def test_perfect_and_missing_detections():
    gt, _ = random_dataset(np.random.default_rng(1), 5, 2, ties=False, crowds=False)
    dt = [
        {**{k: a[k] for k in ("image_id", "category_id", "bbox")}, "score": 1.0}
        for a in gt["annotations"]
    ]
    perfect = olrp(Evaluation.from_coco(gt, dt)).values
    assert perfect["oLRP_FP"] == perfect["oLRP_FN"] == 0
    assert perfect["oLRP"] == pytest.approx(0, abs=1e-12)
    assert perfect["oLRP_Loc"] == pytest.approx(0, abs=1e-12)
    numbers = olrp(Evaluation.from_coco(gt, []))
    assert (numbers.values["oLRP"], numbers.values["oLRP_FN"]) == (1, 1)
    assert numbers.values["oLRP_Loc"] is numbers.values["oLRP_FP"] is None
    assert numbers.counts == {"oLRP": 2, "oLRP_Loc": 0, "oLRP_FP": 0}


def test_curve_of_a_class_without_objects():
    gt, dt = random_dataset(np.random.default_rng(1), 5, 2, ties=False, crowds=False)
    evaluation = Evaluation.from_coco({**gt, "annotations": []}, dt)
    with pytest.raises(ValueError, match="class with all objects, but got 1"):
        lrp_curve(evaluation, 1)
