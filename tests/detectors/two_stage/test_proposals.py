import dataclasses

import pytest
import torch
from torchvision.ops import box_iou

from corrlight.boxes import DeltaCoder
from corrlight.detectors import ProposalSelection
from corrlight.detectors.anchors import AnchorGrid
from corrlight.detectors.two_stage.proposals import ProposalNetwork
from tests.detectors.build import batch_of

SIZES = ((96, 128), (56, 78))


def network() -> ProposalNetwork:
    torch.manual_seed(0)
    anchors = AnchorGrid.octaves([8, 16], 4, ratios=[0.5, 1.0, 2.0])
    net = ProposalNetwork(8, anchors, DeltaCoder())
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return net


def stage():
    levels = [torch.randn(2, 8, 96 // s, 128 // s) for s in (8, 16)]
    with torch.no_grad():
        return network()(levels, batch_of())


def written_out(predictions, image, size, topk, nms_thresh, most):
    """One level and one box at a time."""
    kept = []
    for level in predictions.level_idx.unique():
        mine = (predictions.level_idx == level).nonzero().flatten()
        scores = predictions.logits[image, mine, 0]
        best = mine[scores.argsort(descending=True)[:topk]]
        limit = torch.tensor([size[1], size[0]] * 2)
        boxes = torch.minimum(predictions.boxes[image, best].clamp(min=0), limit)
        alive = [i for i, b in enumerate(boxes) if b[2] > b[0] and b[3] > b[1]]
        while alive:
            first, *others = alive
            kept.append((float(predictions.logits[image, best[first], 0]), boxes[first]))
            alive = [i for i in others if box_iou(boxes[[first]], boxes[[i]]) <= nms_thresh]
    kept.sort(key=lambda pair: -pair[0])
    return torch.stack([box for _, box in kept[:most]])


@pytest.mark.parametrize("training", [True, False])
def test_selection_written_out(training):
    predictions = stage()
    select = ProposalSelection(topk_in_training=60, topk=30, nms_thresh=0.5, max_proposals=25)
    for image, size in enumerate(SIZES):
        found = select(predictions, image, size, training=training)
        expected = written_out(predictions, image, size, 60 if training else 30, 0.5, 25)
        torch.testing.assert_close(found, expected)
        assert len(found) <= 25
        assert not found.requires_grad


def test_nothing_is_left_of_boxes_that_are_not_finite():
    predictions = stage()
    broken = dataclasses.replace(predictions, boxes=predictions.boxes * float("nan"))
    assert len(ProposalSelection()(broken, 0, SIZES[0], training=False)) == 0


def test_predictions_are_of_one_class_for_every_anchor():
    predictions = stage()
    count = 3 * (12 * 16 + 6 * 8)
    assert predictions.proposes
    assert predictions.logits.shape == (2, count, 1)
    assert predictions.num_classes == 1
    assert predictions.priors.shape == (count, 4)
    assert predictions.level_sizes == (3 * 192, 3 * 48)
    assert not predictions.valid[1].all()
    torch.testing.assert_close(
        predictions.boxes, DeltaCoder().decode(predictions.priors, predictions.deltas)
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("topk", 0), ("topk_in_training", 0), ("max_proposals", 0), ("nms_thresh", 2)],
)
def test_bad_arguments(name, value):
    with pytest.raises(ValueError, match=rf"`{name}`.*got {value}"):
        ProposalSelection(**{name: value})
