"""What the few cuts say, against all detections one by one."""

import numpy as np
from hypothesis import HealthCheck, given, settings

from corrlight.metrics import Evaluation
from corrlight.metrics.functional import interpolated_precision, lrp_curve, olrp
from corrlight.metrics.matching import AREA_RANGES
from corrlight.metrics.ranking.class_cuts import precision_at_recalls
from tests.metrics.coco_oracle import datasets


@given(datasets())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_cuts_give_what_all_detections_give(data):
    evaluation = Evaluation.from_coco(*data)
    numbers = olrp(evaluation)
    for a, area in enumerate(AREA_RANGES):
        matches, cuts = evaluation.matches(area), evaluation.cuts(area)
        true, false = matches.true_positive, matches.false_positive
        for label, num_gt in enumerate(cuts.num_gt.tolist()):
            columns = cuts.slices[label]
            order = evaluation.class_order[evaluation.class_slices[label]]
            place = np.flatnonzero(np.isin(order, cuts.rows[columns]))
            np.testing.assert_array_equal(order[place], cuts.rows[columns])
            tp, total = true[:, order].cumsum(1), (true | false)[:, order].cumsum(1)
            np.testing.assert_array_equal(cuts.tp[:, columns], tp[:, place])
            np.testing.assert_array_equal(cuts.total[:, columns], total[:, place])
            if not num_gt:
                continue
            # Bit for bit: precision and LRP.
            np.testing.assert_array_equal(
                precision_at_recalls(cuts.tp[:, columns], cuts.total[:, columns], num_gt),
                interpolated_precision(true[:, order], false[:, order], num_gt),
            )
            curve = lrp_curve(evaluation, label, area)
            if (curve.fn == 1).all():
                assert numbers.olrp[label, a] == 1
                assert np.isnan(numbers.threshold[label, a])
                continue
            best = int(np.argmin(curve.lrp))
            assert numbers.olrp[label, a] == curve.lrp[best]
            assert numbers.threshold[label, a] == curve.scores[best]
            for name in ("loc", "fp", "fn"):
                np.testing.assert_equal(
                    getattr(numbers, name)[label, a], getattr(curve, name)[best]
                )


def test_an_lrp_of_1_everywhere_is_that_of_the_first_detection():
    gt = {
        "images": [{"id": 1}],
        "categories": [{"id": 1}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10], "iscrowd": 0}
        ],
    }
    half = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 5], "score": 0.5}
    miss = {**half, "bbox": [50, 50, 9, 9], "score": 0.9}
    numbers = olrp(Evaluation.from_coco(gt, [half, miss]))
    assert numbers.olrp[0, 0] == numbers.fp[0, 0] == numbers.fn[0, 0] == 1
    assert numbers.threshold[0, 0] == 0.9
    assert np.isnan(numbers.loc[0, 0])
