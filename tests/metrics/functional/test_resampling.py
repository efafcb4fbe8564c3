import numpy as np
import pytest

from corrlight.coco.results import PositiveTable
from corrlight.metrics import Evaluation
from corrlight.metrics.functional import class_correlation, coco_evaluate, olrp
from corrlight.metrics.functional.resampling import ResampledMeasures
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
    drawn = np.bincount(rng.integers(0, 7, 7), minlength=7)
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


@pytest.mark.parametrize("seed", range(10))
def test_halves_are_the_images_alone(seed):
    rng = np.random.default_rng(seed)
    gt, dt = random_dataset(rng, 9, 3, ties=False, crowds=True)
    evaluation, _ = measured(gt, dt)
    resampled = ResampledMeasures(evaluation)
    first = rng.random(9) < 0.5
    halves = resampled.halves(first)
    for half, images in enumerate((first, ~first)):
        ids = evaluation.ground_truth.image_ids[images].tolist()
        own = measured(*repeated(gt, dt, dict.fromkeys(ids, 1)))[1]
        for name, values in halves.values.items():
            found = values[half][~np.isnan(values[half])]
            mean = found.mean() if len(found) else np.nan
            truth = np.nan if own[name] is None else own[name]
            assert mean == pytest.approx(truth, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("seed", range(10))
def test_crossed_counts_are_those_at_the_threshold_of_the_other_half(seed):
    """Typed out again from the matching, class by class, detection by detection."""
    rng = np.random.default_rng(seed)
    gt, dt = random_dataset(rng, 12, 2, ties=False, crowds=True)
    evaluation, _ = measured(gt, dt)
    first = rng.random(12) < 0.5
    crossed = ResampledMeasures(evaluation).halves(first).crossed["all"]
    matches = evaluation.matches()
    images = evaluation.results.image_idx[evaluation.order[evaluation.counted]]
    truth = evaluation.ground_truth
    for label in range(truth.num_classes):
        rows = evaluation.class_order[evaluation.class_slices[label]]
        true, false = matches.true_positive[0, rows], matches.false_positive[0, rows]
        iou, score, of = matches.iou[0, rows], evaluation.scores[rows], images[rows]
        sums = np.zeros(4)
        for chosen, other in ((first, ~first), (~first, first)):
            counted = ~truth.crowd & (truth.labels == label)
            objects, others = (int(h[truth.image_idx[counted]].sum()) for h in (chosen, other))
            sums[3] += others
            best, threshold = np.inf, np.inf
            for cut in range(len(rows)):
                inside = chosen[of[: cut + 1]]
                tp, fp = (int(m[: cut + 1][inside].sum()) for m in (true, false))
                loc = (1 - iou[: cut + 1])[inside & true[: cut + 1]].sum()
                if chosen[of[cut]] and tp and (2 * loc + fp + objects - tp) / (fp + objects) < best:
                    best = (2 * loc + fp + objects - tp) / (fp + objects)
                    threshold = score[cut]
            above = (score >= threshold) & other[of]
            sums[:3] += (above & true).sum(), (above & false).sum(), (1 - iou)[above & true].sum()
        if truth.num_classes and matches.num_gt[label]:
            assert crossed[label] == pytest.approx(sums, abs=1e-9)


def test_errors_of_images_add_up_to_olrp():
    """One class in one image: LRP of the image at the threshold is oLRP."""
    gt, dt = random_dataset(np.random.default_rng(3), 1, 1, ties=False, crowds=False)
    evaluation, own = measured(gt, dt)
    errors = ResampledMeasures(evaluation).image_errors()
    assert errors == pytest.approx([own["oLRP"]], abs=1e-12)


def test_classes_rest_on_their_images():
    gt, dt = random_dataset(np.random.default_rng(5), 6, 3, ties=False, crowds=True)
    evaluation, _ = measured(gt, dt)
    counts = ResampledMeasures(evaluation).num_images()["AP"]
    for label, category in enumerate(sorted(c["id"] for c in gt["categories"])):
        images = {a["image_id"] for a in gt["annotations"]
                  if a["category_id"] == category and not a.get("iscrowd")}  # fmt: skip
        assert counts[label] == len(images)
