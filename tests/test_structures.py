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


def proposals(**more) -> Predictions:
    """Two images, three hypotheses with a box for each of two classes."""
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(2, 3, 2, 4, generator=generator)
    fields = {
        "logits": torch.randn(2, 3, 3, generator=generator),
        "boxes": boxes[:, :, 0],
        "level_idx": torch.zeros(3, dtype=torch.int64),
        "activation": "softmax",
        "valid": torch.ones(2, 3, dtype=torch.bool),
        "priors": torch.rand(2, 3, 4, generator=generator),
        "deltas": torch.rand(2, 3, 2, 4, generator=generator),
        "class_boxes": boxes,
    }
    return Predictions(**(fields | more))


def test_boxes_of_a_class_and_priors_of_an_image():
    stage = proposals()
    where = torch.tensor([0, 1, 1]), torch.tensor([2, 0, 1])
    labels = torch.tensor([1, 0, 1])
    for k, (b, n, c) in enumerate(zip(*where, labels, strict=True)):
        assert torch.equal(stage.boxes_of(*where, labels)[k], stage.class_boxes[b, n, c])
        assert torch.equal(stage.deltas_of(*where, labels)[k], stage.deltas[b, n, c])
        assert torch.equal(stage.priors_of(*where)[k], stage.priors[b, n])
    one = dataclasses.replace(stage, class_boxes=None, deltas=stage.boxes, priors=stage.priors[0])
    assert torch.equal(one.boxes_of(*where, labels), stage.boxes[where])
    assert torch.equal(one.deltas_of(*where, labels), stage.boxes[where])
    assert torch.equal(one.priors_of(*where), stage.priors[0, where[1]])
    assert one.shared_priors is one.priors
    with pytest.raises(ValueError, match="shared by all images, but got proposals of each image"):
        _ = stage.shared_priors
    with pytest.raises(ValueError, match="shared by all images, but got None"):
        _ = dataclasses.replace(stage, priors=None).shared_priors
    with pytest.raises(ValueError, match="to be encoded boxes, but got None"):
        dataclasses.replace(stage, deltas=None).deltas_of(*where, labels)


def test_positives_have_the_box_of_their_class_and_proposals_no_class():
    truth = (targets([[0, 0, 1, 1]], [1]), targets([], []))
    match = Match(gt_idx=torch.tensor([[BACKGROUND, 0, 0], [BACKGROUND] * 3]))
    found = Positives.gather(proposals(), truth, match)
    assert torch.equal(found.pred_boxes, proposals().class_boxes[0, 1:, 1])
    assert found.labels.tolist() == [1, 1]
    first = proposals(logits=torch.randn(2, 3, 1), activation="sigmoid", class_boxes=None)
    found = Positives.gather(dataclasses.replace(first, proposes=True), truth, match)
    assert found.labels.tolist() == [0, 0]
    assert torch.equal(found.scores, first.logits[0, 1:, 0].sigmoid())


def test_what_was_not_drawn_is_ignored():
    gt_idx = torch.tensor([[0, 1, BACKGROUND, BACKGROUND, IGNORED]])
    sampled = torch.tensor([[True, False, True, False, False]])
    drawn = Match(gt_idx=gt_idx, sampled=sampled).drawn()
    assert drawn.gt_idx.tolist() == [[0, IGNORED, BACKGROUND, IGNORED, IGNORED]]
    assert drawn.drawn() is drawn
