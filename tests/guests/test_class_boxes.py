"""Post-processing of hypotheses with a box for every class."""

import dataclasses

import pytest
import torch

from corrlight.guests import ClassBoxPostprocessor, ClassBoxPredictions, OwnPredictions
from corrlight.guests.class_boxes import DetectionMasks
from corrlight.structures import Match, ScoreOverride


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
    return ClassBoxPredictions(
        logits=scores.log(),
        boxes=boxes[:, :, 0],
        level_idx=torch.zeros(3, dtype=torch.long),
        activation="softmax",
        valid=torch.tensor([[True, True, False]]),
        match=Match(gt_idx=torch.full((1, 3), -1)),
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
    (found,) = ClassBoxPostprocessor(score_thresh=0.1)(predictions(), [(50, 50)])
    assert found.labels.tolist() == [0, 1]
    scores = torch.tensor([0.2, 0.4])
    assert torch.equal(ClassBoxPostprocessor().ranking_scores(scores, scores), scores)


class Halves(DetectionMasks):
    """The left half of every box."""

    def probabilities(self, image, boxes, labels):
        small = torch.zeros(len(boxes), 1, 28, 28)
        small[..., :14] = 1
        return small

    def sizes(self, image):
        return (60, 80), (120, 160)


def test_masks_are_of_the_file():
    from pycocotools import mask as coco_mask

    (found,) = ClassBoxPostprocessor(score_thresh=0.4)(predictions(masks=Halves()), [(60, 80)])
    first = coco_mask.decode(found.masks[0])
    assert first.shape == (120, 160)
    # A box of 20 x 20 in the file.
    rows, columns = first.nonzero()
    assert max(rows.min(), columns.min()) <= 1
    assert 18 <= rows.max() <= 21
    assert 8 <= columns.max() <= 11
    (none,) = ClassBoxPostprocessor(score_thresh=0.99)(predictions(masks=Halves()), [(60, 80)])
    assert none.masks == []


def test_one_box_for_all_classes_is_refused():
    fields = {f.name: getattr(predictions(), f.name) for f in dataclasses.fields(OwnPredictions)}
    with pytest.raises(ValueError, match="but got OwnPredictions"):
        ClassBoxPostprocessor()(OwnPredictions(**fields), [(60, 80)])
