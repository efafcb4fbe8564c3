import json

import numpy as np
import pytest

from corrlight.engine.options.followed import check_followed
from corrlight.metrics import DetectionEvaluator, ErrorTypes
from tests.metrics.coco_oracle import random_dataset, with_masks


@pytest.fixture(scope="module")
def annotations(tmp_path_factory):
    gt, dt = random_dataset(np.random.default_rng(3), 4, 3, ties=False, crowds=False)
    gt, _ = with_masks(gt, dt, np.random.default_rng(3))
    file = tmp_path_factory.mktemp("data") / "instances.json"
    file.write_text(json.dumps(gt))
    return file, sorted(c["id"] for c in gt["categories"])


@pytest.mark.parametrize(
    "name", ["val/AP", "val/AP75", "val/oLRP_Loc", "val/beta_img", "train/loss", "val/loss"]
)
def test_what_is_taken_may_be_followed(annotations, name):
    check_followed(name, DetectionEvaluator(*annotations))


def test_measures_of_masks_need_masks(annotations):
    with pytest.raises(ValueError, match="a detector that finds masks"):
        check_followed("val/mask_AP", DetectionEvaluator(*annotations))
    check_followed("val/mask_AP", DetectionEvaluator(*annotations, masks=True))


@pytest.mark.parametrize(("name", "near"), [("val/mask_ap50", "mask_AP50"), ("val/olrp", "oLRP")])
def test_a_misspelt_measure_is_one_line_with_the_nearest(annotations, name, near):
    with pytest.raises(ValueError, match=f"but got '{name}'. Did you mean 'val/{near}'"):
        check_followed(name, DetectionEvaluator(*annotations, masks=True))


@pytest.mark.parametrize("name", ["AP", "test/AP", "valAP"])
def test_measures_are_those_of_the_validation(annotations, name):
    with pytest.raises(ValueError, match=f"val/AP for example, but got '{name}'"):
        check_followed(name, DetectionEvaluator(*annotations))


def test_the_usual_measure_is_asked_for_where_the_usual_ones_are_replaced(annotations):
    """``metric=error_types`` alone: Lightning found out after the first epoch."""
    with pytest.raises(ValueError, match=r"but got 'val/AP'. metric=\[default,...\] keeps"):
        check_followed("val/AP", DetectionEvaluator(*annotations, [ErrorTypes()]))
