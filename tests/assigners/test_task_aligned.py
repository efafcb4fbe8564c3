import dataclasses

import pytest
import torch
from torchvision.ops import box_iou

from corrlight.assigners import TaskAlignedAssigner
from corrlight.assigners.task_aligned import normalized_alignment
from corrlight.structures import BACKGROUND, Positives
from tests.assigners.scene import predictions, random_boxes, targets


def reference(stage, image, target, topk, alpha, beta):
    """One object after the other."""
    owner = [(-1.0, BACKGROUND)] * len(stage.priors)
    ious = box_iou(stage.boxes[image], target.boxes)
    for g, (label, box) in enumerate(zip(target.labels, target.boxes, strict=True)):
        metric = stage.logits[image, :, label].sigmoid() ** alpha * ious[:, g] ** beta
        metric[~stage.valid[image]] = 0
        for n in metric.argsort(descending=True)[:topk].tolist():
            x, y = ((stage.priors[n, :2] + stage.priors[n, 2:]) / 2).tolist()
            inside = min(x - box[0], y - box[1], box[2] - x, box[3] - y) > 0.01
            if metric[n] > 0 and inside and float(ious[n, g]) > owner[n][0]:
                owner[n] = (float(ious[n, g]), g)
    return torch.tensor([g for _, g in owner])


@pytest.mark.parametrize(("topk", "alpha", "beta"), [(13, 1.0, 6.0), (4, 0.5, 2.0)])
def test_equals_the_definition_written_out(topk, alpha, beta):
    objects = targets(random_boxes(7, 3, smallest=10, largest=100), random_boxes(1, 4))
    stage = predictions(2, seed=5)
    stage.valid[0, ::7] = False
    match = TaskAlignedAssigner(topk, alpha, beta)(stage, objects)
    for b, target in enumerate(objects):
        assert torch.equal(match.gt_idx[b], reference(stage, b, target, topk, alpha, beta))
    assert match.num_positives[0] > 5


def test_an_image_without_objects_is_background():
    match = TaskAlignedAssigner()(predictions(1), targets([]))
    assert (match.gt_idx == BACKGROUND).all()


def test_the_best_aligned_of_an_object_has_its_best_iou():
    objects = targets(random_boxes(5, 3, smallest=20), random_boxes(2, 4, smallest=20))
    stage = predictions(2)
    positives = Positives.gather(stage, objects, TaskAlignedAssigner()(stage, objects))
    found, ious = normalized_alignment(positives), positives.ious()
    metric = positives.scores * ious**6
    for image in range(2):
        for g in range(len(objects[image].labels)):
            mine = (positives.image_idx == image) & (positives.gt_idx == g)
            if mine.any():
                expected = metric[mine] / (metric[mine].max() + 1e-7) * ious[mine].max()
                torch.testing.assert_close(found[mine], expected)
    assert (found > 0).any()


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`topk`.*got 0"):
        TaskAlignedAssigner(topk=0)
    with pytest.raises(ValueError, match=r"`beta` to be a finite number >= 0, but got -1"):
        TaskAlignedAssigner(beta=-1)
    stage = dataclasses.replace(predictions(1), priors=None)
    with pytest.raises(ValueError, match=r"`predictions.priors`.*got None"):
        TaskAlignedAssigner()(stage, targets([]))
