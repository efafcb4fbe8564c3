"""Positives of matched queries and priors."""

import pytest
import torch
from torchvision.ops import box_iou

from corrlight.plug.positives import (
    check_labels,
    image_ids,
    joined,
    make_positives,
    query_positives,
    scores_of,
)

LABELS = [{"labels": torch.tensor([1, 3])}, {"labels": torch.zeros(0, dtype=torch.long)}]


def test_labels_are_counted_and_checked():
    assert check_labels(LABELS, "labels", 0, 4, "so it is") == 2
    assert check_labels([], "labels", 0, 4, "so it is") == 0
    for low, high, wrong in ((0, 3, 3), (2, 9, 1)):
        with pytest.raises(ValueError, match=rf"of image 0 .*, as so it is, but got {wrong}\.$"):
            check_labels(LABELS, "labels", low, high, "so it is")


def test_ids_are_there_for_all_images_or_for_none():
    assert image_ids([{"image_id": torch.tensor(7)}, {"image_id": 9}]) == [7, 9]
    assert image_ids([{"image_id": 7}, {}]) == [None, None]


def test_scores_are_those_of_the_label_in_fp32():
    rows = torch.randn(5, 4, dtype=torch.bfloat16)
    labels = torch.tensor([0, 1, 2, 2, 0])
    index = torch.arange(5)
    sigmoid = scores_of(rows, labels, "sigmoid")
    torch.testing.assert_close(sigmoid, 1 / (1 + torch.exp(-rows.float()[index, labels])))
    softmax = scores_of(rows, labels, "softmax")
    full = rows.float().exp()
    torch.testing.assert_close(softmax, (full / full.sum(1, keepdim=True))[index, labels])
    assert scores_of(rows.double(), labels, "softmax").dtype == torch.float64


def queries():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 6, 4, generator=generator)
    boxes = torch.rand(2, 6, 4, generator=generator) * 0.4 + 0.1
    targets = [
        {"classes": torch.tensor([2, 0]), "boxes": torch.tensor([[0.3, 0.3, 0.2, 0.2]] * 2)},
        {"classes": torch.tensor([1]), "boxes": torch.tensor([[0.2, 0.4, 0.3, 0.3]])},
    ]
    indices = [(torch.tensor([1, 4]), torch.tensor([1, 0])), (torch.tensor([5]), torch.tensor([0]))]
    return logits, boxes, indices, targets


def corners(box):
    return torch.cat([box[..., :2] - box[..., 2:] / 2, box[..., :2] + box[..., 2:] / 2], -1)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_matched_queries(scale):
    """IoUs are those of torchvision, however small boxes are in fractions of the image."""
    logits, boxes, indices, targets = queries()
    boxes = boxes * scale
    targets = [{**t, "boxes": t["boxes"] * scale} for t in targets]
    found = query_positives(logits, boxes, indices, targets, "classes", "sigmoid")
    assert found.labels.tolist() == [0, 2, 1]
    assert found.image_idx.tolist() == [0, 0, 1]
    assert found.pred_idx.tolist() == [1, 4, 5]
    assert found.gt_idx.tolist() == [1, 0, 0]
    theirs = box_iou(
        corners(boxes[[0, 0, 1], [1, 4, 5]].double()),
        corners(torch.cat([t["boxes"] for t in targets])[[1, 0, 2]].double()),
    ).diagonal()
    torch.testing.assert_close(found.ious().double(), theirs, atol=1e-5, rtol=1e-4)


def test_no_images_and_no_objects():
    logits, boxes, _, _ = queries()
    empty = torch.zeros(0, dtype=torch.long)
    none = {"classes": empty, "boxes": torch.zeros(0, 4)}
    found = query_positives(logits, boxes, [(empty, empty)] * 2, [none] * 2, "classes", "sigmoid")
    assert len(found) == 0
    assert found.gt_boxes.shape == (0, 4)
    assert len(query_positives(logits[:0], boxes[:0], [], [], "classes", "sigmoid")) == 0


def test_joined_positives_are_by_image_and_query():
    def of(image_idx, pred_idx):
        count = len(image_idx)
        columns = {"labels": torch.zeros(count, dtype=torch.long), "gt_idx": torch.arange(count)}
        return make_positives(
            scores=torch.tensor(pred_idx) / 100,
            pred_boxes=torch.zeros(count, 4),
            gt_boxes=torch.zeros(count, 4),
            image_idx=torch.tensor(image_idx),
            pred_idx=torch.tensor(pred_idx),
            **columns,
        )

    both = joined(of([0, 1], [3, 2]), of([0, 0, 1], [9, 1, 0]))
    assert both.image_idx.tolist() == [0, 0, 0, 1, 1]
    assert both.pred_idx.tolist() == [1, 3, 9, 0, 2]
    torch.testing.assert_close(both.scores, both.pred_idx / 100)
    assert both.level_idx.tolist() == [0] * 5
