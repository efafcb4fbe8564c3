import dataclasses

import pytest
import torch

from corrlight.structures import (
    BACKGROUND,
    IGNORED,
    Batch,
    Detections,
    Match,
    Positives,
    Predictions,
    Targets,
)


def targets(boxes: list[list[float]], labels: list[int], image_id: int = 1) -> Targets:
    return Targets(
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        valid_size=(30, 40),
        padded_size=(32, 64),
        original_size=(60, 80),
        image_id=image_id,
    )


@pytest.fixture
def scene():
    torch.manual_seed(0)
    predictions = Predictions(
        logits=torch.randn(2, 5, 3, requires_grad=True),
        boxes=(torch.rand(2, 5, 4) * 10 + torch.tensor([0, 0, 10, 10])).requires_grad_(),
        level_idx=torch.tensor([0, 0, 0, 1, 1]),
        activation="sigmoid",
        valid=torch.ones(2, 5, dtype=torch.bool),
    )
    truth = (
        targets([[0, 0, 10, 10], [5, 5, 15, 15]], [2, 0]),
        targets([[1, 1, 9, 9]], [1], image_id=2),
    )
    gt_idx = torch.full((2, 5), BACKGROUND)
    gt_idx[0, 3], gt_idx[0, 1], gt_idx[1, 4], gt_idx[1, 0] = 0, 1, 0, IGNORED
    return predictions, truth, Match(gt_idx=gt_idx)


def test_gather_addresses_scores_boxes_and_levels(scene):
    predictions, truth, match = scene
    positives = Positives.gather(predictions, truth, match)
    assert positives.image_idx.tolist() == [0, 0, 1]
    assert positives.pred_idx.tolist() == [1, 3, 4]
    assert positives.labels.tolist() == [0, 2, 1]
    assert positives.level_idx.tolist() == [0, 1, 1]
    assert positives.gt_boxes.tolist() == [[5, 5, 15, 15], [0, 0, 10, 10], [1, 1, 9, 9]]
    expected = predictions.logits.sigmoid()[[0, 0, 1], [1, 3, 4], [0, 2, 1]]
    torch.testing.assert_close(positives.scores, expected)
    assert match.num_positives.tolist() == [2, 1]


def test_gather_softmax_scores_leave_out_no_class(scene):
    predictions, _truth, _match = scene
    softmax = dataclasses.replace(predictions, activation="softmax")
    assert softmax.num_classes == 2
    scores = softmax.scores_of(torch.tensor([0]), torch.tensor([1]), torch.tensor([1]))
    torch.testing.assert_close(scores, predictions.logits[0, 1].softmax(-1)[1:2])


def test_scores_carry_gradient_to_their_logit_alone(scene):
    predictions, truth, match = scene
    Positives.gather(predictions, truth, match).scores.sum().backward()
    assert predictions.logits.grad.nonzero().tolist() == [[0, 1, 0], [0, 3, 2], [1, 4, 1]]
    assert predictions.boxes.grad is None


def test_gather_without_ground_truth_stays_on_the_graph(scene):
    predictions, _, match = scene
    empty = Match(gt_idx=torch.full_like(match.gt_idx, BACKGROUND))
    positives = Positives.gather(predictions, (targets([], []), targets([], [])), empty)
    assert len(positives) == 0
    (positives.scores.sum() + positives.ious().sum()).backward()
    assert predictions.logits.grad.abs().sum() == 0


def test_proposals_are_asked_for_objects_of_one_class(scene):
    predictions, targets, match = scene
    assert predictions.wanted(targets) == tuple(targets)
    proposals = dataclasses.replace(predictions, any_object=True)
    wanted = proposals.wanted(targets)
    assert all(torch.equal(w.boxes, t.boxes) for w, t in zip(wanted, targets, strict=True))
    found = Positives.gather(proposals, wanted, match)
    assert len(found) == len(Positives.gather(predictions, targets, match)) > 0
    assert not found.labels.any()
    first = predictions.logits[found.image_idx, found.pred_idx, 0]
    torch.testing.assert_close(found.scores, first.sigmoid())


def test_batch_moves_every_tensor_and_keeps_the_rest():
    truth = targets([[0, 0, 1, 1]], [0])
    batch = Batch(images=torch.zeros(1, 3, 32, 64), targets=(truth,)).to("meta")
    assert batch.images.device.type == "meta"
    assert batch.targets[0].boxes.device.type == "meta"
    assert batch.targets[0].image_id == 1
    assert batch.valid_sizes == [(30, 40)]
    assert len(batch) == 1


def test_detections_are_reported_in_the_pixels_of_the_file():
    detections = Detections(
        boxes=torch.tensor([[0.0, 0, 40, 30]]),
        scores=torch.ones(1),
        labels=torch.zeros(1, dtype=torch.int64),
        pred_idx=torch.zeros(1, dtype=torch.int64),
    )
    assert detections.to_original(targets([], [])).boxes.tolist() == [[0, 0, 80, 60]]
