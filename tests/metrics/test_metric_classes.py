"""Each class reports what its functional twin computes, with plain keys and counts."""

import json
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

import corrlight.metrics as metrics
from corrlight.metrics import functional
from tests.metrics.coco_oracle import random_dataset

GT, DT = random_dataset(np.random.default_rng(2), 10, 3, ties=False, crowds=True)
EVALUATION = metrics.Evaluation.from_coco(GT, DT)
CONF = Path(__file__).parents[2] / "conf" / "metric"


def leaves():
    for file in sorted(CONF.glob("*.yaml")):
        for node in OmegaConf.load(file).values():
            if OmegaConf.is_dict(node):
                yield pytest.param(OmegaConf.to_container(node), id=file.stem)


@pytest.mark.parametrize("node", list(leaves()))
def test_every_yaml_builds_a_metric_with_plain_results(node):
    package, name = node.pop("_target_").rsplit(".", 1)
    assert package == "corrlight.metrics"
    result = getattr(metrics, name)(**node)(EVALUATION)
    json.dumps([dict(result.values), {k: list(v) for k, v in result.per_class.items()}])
    assert {len(column) for column in result.per_class.values()} <= {3}
    assert result.values


def test_every_metric_has_a_yaml():
    names = {param.values[0]["_target_"].rsplit(".", 1)[1] for param in leaves()}
    classes = {name: getattr(metrics, name) for name in metrics.__all__}
    written = {n for n, c in classes.items() if "__call__" in vars(c) and c is not metrics.Metric}
    assert len(written) >= 6
    assert names == written


def test_values_are_those_of_the_functions():
    assert metrics.Olrp()(EVALUATION).values["oLRP"] == functional.olrp(EVALUATION).values["oLRP"]
    bounds = functional.score_bounds(EVALUATION).values
    violated = {"num_classes_bounds_violated": 0}
    assert metrics.ScoreBounds()(EVALUATION).values == bounds | violated
    assert set(bounds) == {
        f"{n}_{d}_cls" for n in ("AP", "AP50", "AP75") for d in ("upper", "lower")
    }
    pairs = functional.score_iou_pairs(EVALUATION)
    error = functional.calibration(pairs.scores, pairs.ious, 5).error
    assert metrics.Calibration(5)(EVALUATION).values == {"calibration_error": error}
    found = metrics.ClassCorrelation("pearson")(EVALUATION)
    expected = functional.class_correlation(EVALUATION, "pearson")
    assert found.values["beta_cls_pearson"] == expected.mean
    assert found.values["num_classes_beta_cls_pearson"] == expected.num_defined == 3
    assert list(found.per_class["beta_cls_pearson"]) == expected.values.tolist()


def test_a_results_file_has_no_image_level_correlation():
    values = metrics.ImageCorrelation("concordance")(EVALUATION).values
    assert values == {
        "beta_img_concordance": None,
        "num_images_beta_img_concordance": 0,
        "beta_img_ranking_concordance": None,
        "num_images_beta_img_ranking_concordance": 0,
    }


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: metrics.ClassCorrelation("kendall"), "`coefficient` .* but got 'kendall'"),
        (lambda: metrics.ImageCorrelation("kendall"), "`coefficient` .* but got 'kendall'"),
        (lambda: metrics.Calibration(0), "`num_bins` .* but got 0"),
    ],
)
def test_wrong_arguments_fail_at_construction(build, message):
    with pytest.raises(ValueError, match=message):
        build()
