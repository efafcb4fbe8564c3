import numpy as np
import pytest
from scipy import stats

from corrlight.metrics import ClassCorrelation, Evaluation
from tests.metrics.coco_oracle import by_hand, coco_eval, example


def matched_pairs(gt, dt):
    """Return scores and IoUs of the true positives of every category by pycocotools' matches."""
    run, box_of = coco_eval(gt, dt), {a["id"]: a["bbox"] for a in gt["annotations"]}
    box_of_dt = {k: d["bbox"] for k, d in enumerate(dt, 1)}
    pairs = {c["id"]: [] for c in gt["categories"]}
    for image in run.evalImgs:
        if image is None or image["aRng"] != run.params.areaRng[0]:
            continue
        for d, score, match, ignored in zip(
            image["dtIds"], image["dtScores"], image["dtMatches"][0], image["dtIgnore"][0],
            strict=True,
        ):  # fmt: skip
            if match and not ignored:
                (x, y, w, h), (p, q, v, u) = box_of_dt[d], box_of[int(match)]
                inner = (min(x + w, p + v) - max(x, p)) * (min(y + h, q + u) - max(y, q))
                pairs[image["category_id"]].append((score, inner / (w * h + v * u - inner)))
    return [np.array(pairs[c]).reshape(-1, 2) for c in sorted(pairs)]


@pytest.mark.parametrize(
    ("coefficient", "reference", "suffix"),
    [("spearman", stats.spearmanr, ""), ("pearson", stats.pearsonr, "_pearson")],
)
def test_it_is_scipys_on_pycocotools_true_positives(coefficient, reference, suffix):
    gt, dt = example()
    expected = [reference(*p.T)[0] for p in matched_pairs(gt, dt)]
    found = ClassCorrelation(coefficient)(Evaluation.from_coco(gt, dt))
    name = f"beta_cls{suffix}"
    assert found.values[name] == pytest.approx(np.mean(expected))
    assert found.values[f"num_classes_{name}"] == 3
    assert list(found.per_class[name]) == pytest.approx(expected)
    counts = [len(p) for p in matched_pairs(gt, dt)]
    assert found.per_class["num_true_positives"] == counts


def test_a_class_without_true_positives_is_undefined_and_counted():
    found = ClassCorrelation()(Evaluation.from_coco(*by_hand()))
    assert found.per_class["beta_cls"] == [pytest.approx(1), None]
    assert found.per_class["num_true_positives"] == [2, 0]
    assert found.values == {"beta_cls": pytest.approx(1), "num_classes_beta_cls": 1}


def test_unknown_coefficient():
    with pytest.raises(ValueError, match=r"`coefficient` .* but got 'kendall'"):
        ClassCorrelation("kendall")
