"""One results file to measures and figures, against pycocotools and identities between them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from corrlight.analysis.results_file import all_metrics, analyze_results
from corrlight.metrics import GroundTruth
from corrlight.metrics.raw.dump import RawDump
from tests.metrics.coco_oracle import by_hand, coco_eval, coco_numbers, example, with_masks


@pytest.fixture
def analyze(tmp_path):
    def analyzed(gt, dt, **options):
        path = tmp_path / "found.json"
        path.write_text(json.dumps(dt))
        return analyze_results("found", path, GroundTruth.from_coco(gt, masks=None), **options)

    return analyzed


def test_measures_are_pycocotools_for_boxes_and_masks(analyze):
    gt, boxes = example()
    gt, masks = with_masks(gt, boxes, np.random.default_rng(1))
    dt = [{**m, "bbox": b["bbox"]} for m, b in zip(masks, boxes, strict=True)]
    shares = []
    found = analyze(gt, dt, resample=True, progress=lambda share, what: shares.append(share))
    for name, value in coco_numbers(gt, boxes).items():
        assert found.metrics[name] == pytest.approx(value, abs=1e-12), name
    own = analyze(gt, dt, mask_areas=True)
    sizes_matter = []
    for name, value in coco_numbers(gt, dt, "segm").items():
        assert found.metrics[f"mask_{name}"] == pytest.approx(value, abs=1e-12), name
        # Without boxes pycocotools takes the areas of the masks.
        alone = coco_numbers(gt, masks, "segm")[name]
        assert own.metrics[f"mask_{name}"] == pytest.approx(alone, abs=1e-12), name
        assert own.metrics[name] == found.metrics[name]
        if value != alone:
            sizes_matter.append(name)
    assert {"AP_small"} <= set(sizes_matter) <= {f"{m}_{s}" for m in ("AP", "AR") for s in
        ("small", "medium", "large")}  # fmt: skip
    assert set(found.figures) == set(found.resampled) == {"", "mask_"}
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert max(shares) < 1
    plain = analyze(gt, dt, masks=False)
    assert set(plain.figures) == {""}
    assert plain.resampled == {}
    assert {k: v for k, v in found.metrics.items() if "mask" not in k} == plain.metrics


def test_the_precision_curve_is_pycocotools(analyze):
    gt, dt = example()
    # (T, R, C, area, limit): IoU 0.5 and 0.75, all sizes, 100 detections.
    expected = coco_eval(gt, dt).eval["precision"][[0, 5], :, :, 0, -1].mean(-1)
    figures = analyze(gt, dt).figures[""]
    np.testing.assert_allclose(figures.precision, expected, atol=1e-12)


def test_parts_of_olrp_add_up_to_it_for_every_size(analyze):
    found = analyze(*example())
    sums = found.figures[""].size_errors.sum(1)
    names = ("oLRP", "oLRP_small", "oLRP_medium", "oLRP_large")
    assert sums.tolist() == pytest.approx([found.metrics[name] for name in names])


def test_figures_by_hand(analyze):
    """Two objects; IoU 0.8, 0 and 0.6 at the scores 0.9, 0.5 and 0.25; a class without objects."""
    found = analyze(*by_hand())
    figures = found.figures[""]
    assert sorted(zip(figures.scores, figures.best_ious, strict=True)) == [
        (0.25, pytest.approx(0.6)), (0.5, 0), (0.9, pytest.approx(0.8))
    ]  # fmt: skip
    assert figures.class_beta.tolist() == [pytest.approx(1), pytest.approx(np.nan, nan_ok=True)]
    at = dict(zip(figures.thresholds.round(2).tolist(), figures.lrp.tolist(), strict=True))
    assert at[0.95] == 1  # nothing is left
    assert at[0.7] == pytest.approx((0.4 + 0 + 1) / 2)
    assert at[0.4] == pytest.approx((0.4 + 1 + 1) / 3)
    assert at[0.1] == pytest.approx((0.4 + 0.8 + 1) / 3)
    assert figures.size_errors[0].tolist() == pytest.approx([0.4 / 2, 0, 1 / 2])
    assert np.isnan(figures.size_errors[1]).all()  # no small object
    assert found.per_class[1]["AP"] is None


def test_scores_of_any_range_have_curves_but_no_calibration(analyze):
    gt, dt = by_hand()
    found = analyze(gt, [{**d, "score": 10 * d["score"] - 4} for d in dt])
    assert found.metrics["calibration_error"] is None
    assert found.figures[""].bins is None
    thresholds = found.figures[""].thresholds
    assert (thresholds[0], thresholds[-1]) == pytest.approx((-1.5, 5))
    assert found.figures[""].lrp[0] == pytest.approx((0.4 + 0.8 + 1) / 3)
    assert found.figures[""].lrp[-1] == pytest.approx(0.7)
    assert [w for w in found.warnings if "outside [0, 1]: no calibration error" in w]


def test_no_detections_and_no_objects(analyze):
    gt, dt = by_hand()
    found = analyze(gt, [])
    assert (found.metrics["AP"], found.metrics["oLRP"]) == (0, 1)
    assert set(found.figures[""].lrp) == {1}
    assert found.figures[""].precision.max() == 0
    assert len(found.warnings) == 1
    assert found.warnings[0].endswith("holds no detections: AP is 0")
    nothing = analyze({**gt, "annotations": []}, dt)
    assert nothing.metrics["AP"] is None
    assert np.isnan(nothing.figures[""].precision).all()
    assert np.isnan(nothing.figures[""].lrp).all()


def warned(found):
    return " ".join(found.warnings)


def test_what_the_reader_has_to_know_of_masks(analyze):
    gt, boxes = example()
    gt, masks = with_masks(gt, boxes, np.random.default_rng(1))
    both = [{**m, "bbox": b["bbox"]} for m, b in zip(masks, boxes, strict=True)]
    assert "masks have the sizes of their boxes, as in pycocotools" in warned(analyze(gt, both))
    assert warned(analyze(gt, both, mask_areas=True)) == ""
    assert warned(analyze(gt, masks)) == ""
    some = [both[0], boxes[1], *both[2:]]
    found = analyze(gt, some)
    assert f"1 of {len(some)} detections have no mask (first: detection number 1)" in warned(found)
    assert set(found.figures) == {""}
    assert warned(analyze(gt, some, masks=False)) == ""
    empty = [{**b, "segmentation": []} for b in boxes]
    assert "no detection has a mask (`segmentation` is empty or null)" in warned(analyze(gt, empty))
    assert warned(analyze(gt, boxes)) == ""


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_corners_in_place_of_sizes_are_told_from_a_few_that_leave(analyze, share):
    gt, _ = by_hand()
    rng = np.random.default_rng(0)
    low, size = rng.uniform(150, 250, (40, 2)), rng.uniform(50, 140, (40, 2))
    wrong = np.concatenate([low, low + size], 1).tolist()
    right = np.concatenate([low - 100, size], 1).tolist()
    few = [*wrong[: int(40 * share)], *right[int(40 * share) :]] if share < 0.1 else wrong
    dt = [{"image_id": 1, "category_id": 3, "bbox": b, "score": 0.5} for b in few]
    said = "they look like corners [x1, y1, x2, y2] instead of [x, y, width, height] in pixels"
    assert (said in warned(analyze(gt, dt))) == (share > 0.1)


def test_fractions_of_pictures_are_told(analyze):
    gt, _ = by_hand()
    boxes = np.random.default_rng(0).uniform(0.1, 0.6, (9, 4)).tolist()
    dt = [{"image_id": 1, "category_id": 3, "bbox": b, "score": 0.5} for b in boxes]
    said = "all of 9 detections are below a pixel: they look like fractions of the picture's width"
    assert said in warned(analyze(gt, dt))


def dump(**change):
    count = 6
    return replace(
        RawDump(
            positive_image_id=np.full(count, 1),
            positive_score=np.linspace(0.1, 0.6, count),
            positive_iou=np.linspace(0.9, 0.4, count),
            positive_ranking_score=None,
            candidates=None,
        ),
        **change,
    )


def test_positives_of_a_dump_give_the_image_level_correlation(analyze):
    found = analyze(*by_hand(), raw=dump())
    assert found.metrics["beta_img"] == pytest.approx(-1)
    assert found.metrics["beta_img_ranking"] is None
    assert "has no candidates: no image-level bounds" in warned(found)
    assert "AP_upper_img" not in found.metrics
    assert "beta_img" not in analyze(*by_hand()).metrics


def test_which_measures_there_are():
    assert len(all_metrics(positives=True)) == len(all_metrics(positives=False)) + 3
    names = [type(metric).__name__ for metric in all_metrics(positives=False)]
    assert names.count("ClassCorrelation") == 3
    assert "ImageCorrelation" not in names
    assert all_metrics(False, 300)[0].max_detections == 300


def test_more_detections_an_image_have_names_of_their_own(analyze):
    found = analyze(*example(), max_detections=200)
    assert found.metrics["AP_200"] == pytest.approx(found.metrics["AP"])
    assert found.per_class[0]["AP_200"] == pytest.approx(found.per_class[0]["AP"])
