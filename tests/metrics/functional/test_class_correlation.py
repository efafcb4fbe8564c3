import numpy as np
import pytest
from scipy import stats

from corrlight.metrics import Evaluation
from corrlight.metrics.functional import class_correlation
from tests.metrics.coco_oracle import coco_eval, random_dataset
from tests.metrics.functional import golden_cases


@pytest.mark.golden
@pytest.mark.parametrize("name", golden_cases.case_names())
def test_golden(name):
    derived = golden_cases.result(name)["derived_not_reference"]
    evaluation = golden_cases.evaluation(name)
    found = class_correlation(evaluation)
    mean = derived["beta_cls_mean_over_defined"]
    assert found.mean == (None if mean is None else pytest.approx(mean, abs=1e-9))
    for k, category in enumerate(evaluation.ground_truth.category_ids):
        theirs = derived["beta_cls_per_class"][str(category)]
        assert found.counts[k] == theirs["num_tp"]
        if theirs["beta"] is None:
            assert np.isnan(found.values[k])
        else:
            assert found.values[k] == pytest.approx(theirs["beta"], abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_equals_scipy_on_the_matches_of_pycocotools(seed):
    gt, dt = random_dataset(np.random.default_rng(seed), 15, 3, ties=seed == 0, crowds=True)
    run = coco_eval(gt, dt)
    found = class_correlation(Evaluation.from_coco(gt, dt))
    for k, category in enumerate(run.params.catIds):
        scores, ious = [], []
        for e in run.evalImgs:
            if e is None or e["category_id"] != category or e["aRng"] != run.params.areaRng[0]:
                continue
            gts = [a["id"] for a in run._gts[e["image_id"], category]]
            for d in range(len(e["dtIds"])):
                if e["dtMatches"][0, d] and not e["dtIgnore"][0, d]:
                    scores.append(e["dtScores"][d])
                    column = gts.index(e["dtMatches"][0, d])
                    ious.append(run.ious[e["image_id"], category][d, column])
        assert found.counts[k] == len(scores) > 1
        expected = stats.spearmanr(scores, ious).statistic
        assert found.values[k] == pytest.approx(expected, abs=1e-12)


def test_false_positives_and_crowds_do_not_count():
    box = [0.0, 0.0, 40.0, 40.0]
    gt = {
        "images": [{"id": 0}],
        "categories": [{"id": 1}],
        "annotations": [
            {"id": 0, "image_id": 0, "category_id": 1, "bbox": box},
            {"id": 1, "image_id": 0, "category_id": 1, "bbox": [100.0, 0.0, 40.0, 40.0]},
            {"id": 2, "image_id": 0, "category_id": 1, "bbox": [200.0, 0, 90, 90], "iscrowd": 1},
        ],
    }
    found = class_correlation(
        Evaluation.from_coco(
            gt,
            [
                {"image_id": 0, "category_id": 1, "bbox": b, "score": s}
                for b, s in [
                    (box, 0.4),
                    ([100.0, 0.0, 40.0, 30.0], 0.6),
                    ([100.0, 0.0, 40.0, 31.0], 0.5),  # a duplicate
                    ([210.0, 10.0, 9.0, 9.0], 0.9),  # in the crowd
                    ([0.0, 300.0, 9.0, 9.0], 0.1),
                ]
            ],
        )
    )
    assert found.counts.tolist() == [2]
    assert found.mean == pytest.approx(-1)
