import json
import math

import numpy as np
import pytest

from corrlight.coco.findings import UnknownIdError
from corrlight.metrics import Evaluation, GroundTruth, Results
from tests.metrics.coco_oracle import random_dataset, with_masks

GT, DT = random_dataset(np.random.default_rng(0), 4, 2, ties=False, crowds=False)
TRUTH = GroundTruth.from_coco(GT)


def test_coco_round_trip(tmp_path):
    file = tmp_path / "detections.json"
    file.write_text(json.dumps(DT))
    results = Results.load(file, TRUTH)
    assert len(results) == len(DT)
    assert results.to_coco(TRUTH) == [
        {k: d[k] for k in ("image_id", "category_id", "bbox", "score")} for d in DT
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": math.nan}, "finite score in detection number 2, but got nan"),
        ({"score": "0.5"}, "number as score of detection number 2, but got '0.5'"),
        ({"score": True}, "number as score of detection number 2, but got True"),
        ({"bbox": [0, 0, math.inf, 1]}, "finite bbox in detection number 2, but got inf"),
        ({"bbox": [0, 0, 1]}, "four numbers as bbox of detection number 2"),
        ({"bbox": [0, 0, None, 1]}, "number as bbox of detection number 2, but got None"),
        ({"image_id": -5}, "known image_id in detection number 2, but got -5"),
        ({"category_id": 999}, "known category_id in detection number 2, but got 999"),
    ],
)
def test_errors_name_the_record(change, message):
    content = [d | (change if i == 2 else {}) for i, d in enumerate(DT)]
    with pytest.raises(ValueError, match=message):
        Results.from_coco(content, TRUTH)


def test_what_is_unknown_may_be_left_out_but_not_everything():
    unknown = [DT[0] | {"image_id": -5}, DT[1] | {"category_id": 999, "bbox": DT[1]["bbox"]}]
    content = [DT[0], unknown[0], *DT[1:], unknown[1]]
    with pytest.raises(UnknownIdError, match="image_id in detection number 1, but got -5"):
        Results.from_coco(content, TRUTH)
    results = Results.from_coco(content, TRUTH, skip_unknown=True)
    assert results.to_coco(TRUTH) == Results.from_coco(DT, TRUTH).to_coco(TRUTH)
    assert results.unknown.tolist() == [1, len(content) - 1]
    assert results.without_mask.tolist() == [0, *range(2, len(content) - 1)]
    with pytest.raises(UnknownIdError, match="but got 2 of others"):
        Results.from_coco(unknown, TRUTH, skip_unknown=True)


def test_masks():
    gt, dt = with_masks(GT, DT, np.random.default_rng(0))
    results = Results.from_coco(dt, GroundTruth.from_coco(gt, masks=True), masks=True)
    assert results.to_coco(TRUTH)[3]["segmentation"] == dt[3]["segmentation"]
    assert np.all(results.boxes[:, 2:] >= 0)
    broken = [*dt[:2], {**dt[2], "segmentation": {"size": [400, 400]}}]
    with pytest.raises(ValueError, match="run-length encoding as segmentation of detection num"):
        Results.from_coco(broken, TRUTH, masks=True)
    other_size = [{**d, "segmentation": {**d["segmentation"], "size": [800, 200]}} for d in dt]
    with pytest.raises(ValueError, match=r"the size \[400, 400\] in detection number 0, .*800"):
        Evaluation.from_coco(gt, other_size, masks=True)
    gt["images"] = [{"id": i["id"]} for i in gt["images"]]
    gt["annotations"] = [a for a in gt["annotations"] if isinstance(a["segmentation"], dict)]
    with pytest.raises(ValueError, match=r"one size within an image, .*\(800, 200\)"):
        _ = Evaluation.from_coco(gt, other_size, masks=True).pairs


def test_missing_key_and_no_list(tmp_path):
    with pytest.raises(ValueError, match="`score` in detection number 1"):
        Results.from_coco([DT[0], {k: v for k, v in DT[1].items() if k != "score"}], TRUTH)
    file = tmp_path / "detections.json"
    file.write_text(json.dumps({"annotations": DT}))
    with pytest.raises(ValueError, match="list of detections, but got a dict"):
        Results.load(file, TRUTH)
