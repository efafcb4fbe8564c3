import dataclasses

import pytest
import torch

from corrlight.assigners import MaxIoUAssigner, PAAAssigner
from corrlight.assigners.gaussian_mixture import two_gaussians
from corrlight.losses import giou_loss, sigmoid_focal_loss
from corrlight.structures import BACKGROUND
from tests.assigners.scene import SIZES, predictions, random_boxes, targets

TOPK = 4


def reference(stage, image, target):
    """The paper's algorithm, one object and one level at a time."""
    result = torch.full((stage.logits.shape[1],), BACKGROUND)
    single = dataclasses.replace(
        stage,
        logits=stage.logits[image : image + 1],
        boxes=stage.boxes[image : image + 1],
        valid=stage.valid[image : image + 1],
    )
    candidates = MaxIoUAssigner(0.1, 0.1)(single, (target,)).gt_idx[0]
    for g, (box, label) in enumerate(zip(target.boxes, target.labels, strict=True)):
        chosen = []
        for level in range(len(SIZES)):
            mine = ((candidates == g) & (stage.level_idx == level)).nonzero().flatten().tolist()
            losses = {}
            for i in mine:
                logits, pred = stage.logits[image, i][None], stage.boxes[image, i][None]
                focal = sigmoid_focal_loss(logits, label[None], reduction="sum")
                losses[i] = float(focal + 1.3 * giou_loss(pred, box[None]))
            chosen += sorted((loss, i) for i, loss in losses.items())[:TOPK]
        if len(chosen) < 2:
            continue
        chosen.sort()
        values = torch.tensor([[loss for loss, _ in chosen]], dtype=torch.float64)
        low, likelihood = two_gaussians(values, torch.ones_like(values, dtype=torch.bool))
        members = [k for k in range(len(chosen)) if low[0, k]]
        peak = max(members, key=lambda k: float(likelihood[0, k]))
        for k in members:
            if k <= peak:
                result[chosen[k][1]] = g
    return result


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_algorithm_written_out(seed):
    boxes = [random_boxes(n, 10 * seed + n) for n in (5, 1, 3)]
    stage, truth = predictions(3, seed=seed), targets(*boxes)
    stage.valid[2, torch.arange(stage.valid.shape[1]) % 5 == 0] = False
    match = PAAAssigner(topk=TOPK)(stage, truth)
    for b, target in enumerate(truth):
        assert torch.equal(match.gt_idx[b], reference(stage, b, target))
    assert match.positive.any()


def test_better_predictions_become_positive():
    box = [[40.0, 40, 80, 80]]
    stage, truth = predictions(1), targets(box)
    before = PAAAssigner()(stage, truth)
    background = (before.gt_idx[0] == BACKGROUND) & (
        MaxIoUAssigner(0.1, 0.1)(stage, truth).gt_idx[0] == 0
    )
    index = int(background.nonzero()[0])
    stage.boxes[0, index] = torch.tensor(box[0])
    stage.logits[0, index] = torch.tensor([9.0, -9, -9])
    assert PAAAssigner()(stage, truth).gt_idx[0, index] == 0


def test_images_without_objects():
    match = PAAAssigner()(predictions(2), targets([[20, 20, 90, 80]], []))
    assert match.num_positives[0] > 0
    assert match.num_positives[1] == 0
    assert (PAAAssigner()(predictions(2), targets([], [])).gt_idx == BACKGROUND).all()


def test_an_object_with_one_candidate_gets_none():
    stage = predictions(1)
    stage.valid[:, 1:] = False
    truth = targets([[-16.0, -16, 16, 16]])
    assert MaxIoUAssigner(0.1, 0.1)(stage, truth).num_positives.tolist() == [1]
    assert PAAAssigner()(stage, truth).num_positives.tolist() == [0]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"topk": 0}, "`topk`.*got 0"),
        ({"box_weight": float("nan")}, "`box_weight`.*got nan"),
        ({"candidate_iou": 0.0}, r"`candidate_iou`.*got 0\.0"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PAAAssigner(**kwargs)
