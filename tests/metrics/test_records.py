from dataclasses import replace

import numpy as np
import pytest
import torch

from corrlight.metrics.functional import image_correlation
from corrlight.metrics.records import image_records
from corrlight.module import DetectionModule
from tests.helpers.toy import (
    ToyAssigner,
    ToyCriterion,
    ToyDetector,
    ToyPostprocessor,
    toy_batch,
)


class QualityPostprocessor(ToyPostprocessor):
    def ranking_scores(self, scores, quality):
        return scores * quality.sigmoid()


def step(*num_objects):
    module = DetectionModule(ToyDetector(), ToyAssigner(), ToyCriterion(), ToyPostprocessor())
    batch = toy_batch(*num_objects)
    return batch, module.step(batch, detect=True)


def test_one_record_an_image_in_file_pixels():
    batch, output = step(1, 0, 2)
    records = image_records(batch, output, ToyPostprocessor())
    assert [r.image_id for r in records] == [1, 2, 3]
    assert [len(r.positive_scores) for r in records] == [2, 0, 2]
    for record, detections in zip(records, output.detections, strict=True):
        # The images are half the size of their files.
        np.testing.assert_allclose(record.boxes, 2 * detections.boxes.numpy())
        assert record.boxes.dtype == record.scores.dtype == np.float64
        assert record.labels.tolist() == detections.labels.tolist()
        assert record.positive_ranking_scores is None
    np.testing.assert_allclose(records[0].positive_ious, [1.0, 0.75], atol=1e-6)
    scores = output.predictions[0].logits[0, :2, 0].sigmoid().detach()
    np.testing.assert_array_equal(records[0].positive_scores, scores.numpy())


def test_ranking_scores_are_those_of_the_postprocessor():
    batch, output = step(1)
    quality = torch.tensor([[0.3, -1.0, 0.0, 2.0]])
    predictions = [replace(output.predictions[0], quality=quality)]
    output = replace(output, predictions=predictions)
    record = image_records(batch, output, QualityPostprocessor())[0]
    expected = record.positive_scores * quality[0, :2].sigmoid().numpy()
    np.testing.assert_allclose(record.positive_ranking_scores, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_that_vary_by_rounding_only_stay_constant(dtype):
    batch, output = step(1)
    scores = torch.tensor([0.5, 0.5 + 6e-8], dtype=dtype)
    output = replace(output, positives=[replace(output.positives[0], scores=scores)])
    record = image_records(batch, output, ToyPostprocessor())[0]
    assert record.positive_scores.dtype == record.positive_ious.dtype == np.float32
    found = image_correlation(record.positive_scores, record.positive_ious, [0, 0], 1)
    assert found.mean is None
