import numpy as np
import pytest

from corrlight.metrics import Evaluation
from corrlight.metrics.functional import coco_evaluate, precision_curves
from tests.metrics.coco_oracle import by_hand, coco_eval, example


def test_curves_are_those_of_pycocotools():
    gt, dt = example()
    found = precision_curves(Evaluation.from_coco(gt, dt))
    theirs = coco_eval(gt, dt).eval["precision"][:, :, :, 0, 2]  # thresholds, recalls, classes
    for name, curves in (("0.5", theirs[0]), ("0.75", theirs[5]), ("mean", theirs.mean(0))):
        np.testing.assert_allclose(found.precision[name], curves, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.mean(name), curves.mean(1), rtol=0, atol=1e-12)


def test_the_mean_over_recalls_is_ap_and_leaves_classes_without_objects_out():
    evaluation = Evaluation.from_coco(*by_hand())
    found = precision_curves(evaluation)
    assert np.isnan(found.precision["mean"][:, 1]).all()
    assert found.mean("mean").mean() == pytest.approx(coco_evaluate(evaluation).values["AP"])
    gt, dt = by_hand()
    empty = precision_curves(Evaluation.from_coco({**gt, "annotations": []}, dt))
    assert np.isnan(empty.mean("0.5")).all()
