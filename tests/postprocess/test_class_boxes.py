"""Post-processing of hypotheses with a box for every class."""

import dataclasses

import pytest
import torch

from corrlight.postprocess import ClassBoxPostprocessor
from corrlight.structures import Predictions, RegionMasks, ScoreOverride


def predictions(**more):
    """Two hypotheses, two classes, and a third hypothesis that only fills up."""
    scores = torch.tensor([[[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.9, 0.05, 0.05]]])
    boxes = torch.tensor(
        [
            [
                [[0.0, 0, 10, 10], [5, 5, 30, 30]],
                [[0.0, 0, 10, 11], [50, 50, 90, 90]],
                [[0.0, 0, 10, 10], [0, 0, 10, 10]],
            ]
        ]
    )
    return Predictions(
        logits=scores.log(),
        boxes=boxes[:, :, 0],
        level_idx=torch.zeros(3, dtype=torch.long),
        activation="softmax",
        valid=torch.tensor([[True, True, False]]),
        class_boxes=boxes,
        **more,
    )


def test_every_class_has_its_own_boxes():
    (found,) = ClassBoxPostprocessor(score_thresh=0.1)(predictions(), [(60, 80)])
    # 0.2 is suppressed by 0.6 of the same class; boxes are cut to the picture.
    torch.testing.assert_close(found.scores, torch.tensor([0.6, 0.5, 0.3]))
    assert found.labels.tolist() == [0, 1, 1]
    assert found.pred_idx.tolist() == [0, 1, 0]
    assert found.boxes.tolist() == [[0, 0, 10, 10], [50, 50, 80, 60], [5, 5, 30, 30]]


def test_a_score_is_replaced_before_the_threshold():
    one = torch.tensor([0])
    override = ScoreOverride(image_idx=one, pred_idx=one, label=one, score=torch.tensor([0.05]))
    (found,) = ClassBoxPostprocessor(score_thresh=0.1)(predictions(), [(60, 80)], override)
    torch.testing.assert_close(found.scores, torch.tensor([0.5, 0.3, 0.2]))
    assert found.labels.tolist() == [1, 1, 0]


def test_small_boxes_and_numbers():
    two = ClassBoxPostprocessor(score_thresh=0.1, max_detections=2)(predictions(), [(60, 80)])
    assert len(two[0]) == 2
    # Above the picture's edge nothing is left of the box at 50.
    large = ClassBoxPostprocessor(score_thresh=0.1, min_size=0.01)
    (found,) = large(predictions(), [(50, 50)])
    assert found.labels.tolist() == [0, 1]
    scores = torch.tensor([0.2, 0.4])
    assert torch.equal(ClassBoxPostprocessor().ranking_scores(scores, scores), scores)


class Halves(RegionMasks):
    """The left half of every box."""

    def logits(self, image_idx, boxes, labels):
        assert image_idx.tolist() == [0] * len(boxes) == [0] * len(labels)
        small = torch.full((len(boxes), 28, 28), -9.0)
        small[..., :14] = 9
        return small

    def sizes(self, image):
        return (60, 80), (120, 160)


def test_masks_are_of_the_file():
    from pycocotools import mask as coco_mask

    (found,) = ClassBoxPostprocessor(score_thresh=0.4)(
        predictions(region_masks=Halves()), [(60, 80)]
    )
    first = coco_mask.decode(found.masks[0])
    assert first.shape == (120, 160)
    # A box of 20 x 20 in the file: its left half.
    assert first[:20, :10].all()
    assert first.sum() == 200
    (none,) = ClassBoxPostprocessor(score_thresh=0.99)(
        predictions(region_masks=Halves()), [(60, 80)]
    )
    assert none.masks == []


def test_one_box_for_all_classes_is_refused():
    plain = dataclasses.replace(predictions(), class_boxes=None)
    with pytest.raises(ValueError, match="but got one box for all"):
        ClassBoxPostprocessor()(plain, [(60, 80)])


@pytest.mark.parametrize("name", ["score_thresh", "nms_thresh", "max_detections", "min_size"])
def test_bad_arguments(name):
    with pytest.raises(ValueError, match=rf"`{name}`.*got -1"):
        ClassBoxPostprocessor(**{name: -1})
