"""Batches to dumps and back."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from corrlight.metrics import GroundTruth
from corrlight.metrics.raw.bounds import raw_bounds
from corrlight.metrics.raw.images import (
    postprocess_options,
    raw_images,
    restored_images,
    restored_postprocessor,
)
from corrlight.postprocess import TopKPostprocessor
from tests.metrics.raw.random_output import CATEGORIES, POSTPROCESSORS, dumped, random_output


def test_an_unknown_postprocessor_leaves_the_positives_alone(tmp_path):
    class Other(TopKPostprocessor):
        pass

    batch, output = random_output(0, Other())
    dump = dumped(tmp_path / "raw.npz", batch, output, Other())
    assert dump.candidates is None
    assert len(dump.positive_score) == len(output.positives[0])
    with pytest.raises(ValueError, match="a dump with candidates"):
        raw_bounds(dump, GroundTruth.from_coco({"images": [], "annotations": [], "categories": []}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "os.system"}, "`postprocess` to be one of"),
        ({"name": "NMSPostprocessor", "thresh": 1}, "options of NMSPostprocessor"),
        ({"name": "NMSPostprocessor", "nms_thresh": 3}, "`nms_thresh`"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        restored_postprocessor(options)


@pytest.mark.parametrize("postprocessor", POSTPROCESSORS, ids=lambda p: json.dumps(vars(p))[:40])
def test_postprocessors_are_named_with_all_their_options(postprocessor):
    options = postprocess_options(postprocessor)
    json.dumps(options)
    again = restored_postprocessor(options)
    assert type(again) is type(postprocessor)
    assert vars(again) == vars(postprocessor)


def test_the_dump_holds_the_positives_of_each_image_and_their_pixels():
    batch, output = random_output(0, POSTPROCESSORS[0])
    positives, predictions = output.positives[0], output.predictions[0]
    images = list(raw_images(batch, output, POSTPROCESSORS[0], np.array(CATEGORIES)))
    assert [image["image_id"].tolist() for image in images] == [[10], [9], [8]]
    for i, image in enumerate(images):
        mine = positives.image_idx == i
        np.testing.assert_array_equal(image["positive_score"], positives.scores[mine])
        np.testing.assert_array_equal(image["positive_iou"], positives.ious()[mine])
        ids = np.array(CATEGORIES)[positives.labels[mine]]
        assert image["positive_category_id"].tolist() == ids.tolist()
        boxes = image["boxes"][image["positive_box"]]
        np.testing.assert_array_equal(boxes, predictions.boxes[i, positives.pred_idx[mine]])
        assert image["image_size"].tolist() == [[80, 80]]
        assert image["file_size"].tolist() == [[160, 120]]
        # The score that detections are ranked by: class score times quality.
        quality = predictions.quality[i, positives.pred_idx[mine]].sigmoid()
        expected = (positives.scores[mine] * quality).numpy()
        np.testing.assert_allclose(image["positive_ranking_score"], expected, rtol=1e-6)


def test_softmax_scores_become_logits_of_themselves():
    postprocessor = TopKPostprocessor(max_detections=20)
    batch, output = random_output(1, postprocessor, "softmax")
    for i, image in enumerate(raw_images(batch, output, postprocessor, np.arange(3))):
        stage = output.predictions[0]
        scores = stage.logits[i].softmax(-1)[:, :-1]
        found = 1 / (1 + np.exp(-image["candidate_logit"].astype(float)))
        boxes = torch.from_numpy(image["boxes"])
        rows = (stage.boxes[i] == boxes[:, None]).all(-1).int().argmax(1).numpy()
        where = (rows[image["candidate_box"]], image["candidate_category_id"])
        np.testing.assert_allclose(found, scores.numpy()[where], atol=1e-6)


def test_an_image_without_boxes_is_restored_with_one_that_is_not_valid(tmp_path):
    batch, output = random_output(2, POSTPROCESSORS[0], num_images=2)
    far = [dataclasses.replace(output.predictions[0], logits=output.predictions[0].logits - 20)]
    output = dataclasses.replace(output, predictions=far)
    dump = dumped(tmp_path / "raw.npz", batch, output, POSTPROCESSORS[0])
    *_, last = restored_images(dump, dump.candidates, np.array(CATEGORIES))
    assert last.predictions.valid.tolist() == [[False]]
    assert last.override(last.positive_scores).score.shape == (0,)
    assert len(POSTPROCESSORS[0](last.predictions, [last.size])[0]) == 0


def test_categories_of_the_dump_are_those_of_the_annotations(tmp_path):
    batch, output = random_output(0, POSTPROCESSORS[0])
    dump = dumped(tmp_path / "raw.npz", batch, output, POSTPROCESSORS[0])
    with pytest.raises(ValueError, match="categories of the annotations in the dump, but got 5"):
        list(restored_images(dump, dump.candidates, np.array([2, 90])))
