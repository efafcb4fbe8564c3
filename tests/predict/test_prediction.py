import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from corrlight.predict.prediction import Prediction


@pytest.fixture
def bits():
    return np.random.default_rng(0).random((2, 6, 8)) > 0.5


@pytest.fixture
def prediction(bits):
    rles = [coco_mask.encode(np.asfortranarray(b.astype(np.uint8))) for b in bits]
    return Prediction(
        boxes=torch.tensor([[1.0, 2, 4, 6], [0.1, 0, 8, 5]]),
        scores=torch.tensor([0.9, 0.3]),
        labels=torch.tensor([1, 0]),
        class_names=("b", "a"),
        category_ids=(7, 5),
        size=(6, 8),
        rles=[{**rle, "counts": rle["counts"].decode()} for rle in rles],
    )


def test_masks_are_decoded(prediction, bits):
    assert prediction.masks.dtype == torch.bool
    assert np.array_equal(prediction.masks.numpy(), bits)


def test_the_results_list(prediction):
    first, second = prediction.to_coco(12)
    assert first["bbox"] == [1, 2, 3, 4]
    assert (first["image_id"], first["category_id"]) == (12, 7)
    assert first["segmentation"]["size"] == [6, 8]
    # Differences of the float32 corners in float64, as in the results of a test.
    assert second["bbox"][2] == 8 - float(np.float32(0.1))
    assert second["score"] == float(np.float32(0.3))


def test_above_keeps_everything_together(prediction):
    (only,) = [prediction.above(0.5)]
    assert (len(only), only.class_names, only.category_ids) == (1, ("b",), (7,))
    assert only.rles == prediction.rles[:1]
    assert len(prediction.above(1.0)) == 0
    assert prediction.above(1.0).masks.shape == (0, 6, 8)
