import pytest
import torch
from torchvision.ops import box_iou

from corrlight.assigners import ATSSAssigner
from corrlight.detectors.anchors import AnchorGrid
from corrlight.structures import BACKGROUND, Predictions, Targets

STRIDES, SIZES = (8, 16, 32), [(16, 20), (8, 10), (4, 5)]
IMAGE = (128, 160)


def predictions(batch, valid=None):
    grid = AnchorGrid(STRIDES, [8 * s for s in STRIDES])
    priors, level_idx = grid(SIZES, torch.device("cpu"))
    shape = (batch, len(priors))
    return Predictions(
        logits=torch.zeros(*shape, 2),
        boxes=priors.expand(batch, -1, -1),
        level_idx=level_idx,
        activation="sigmoid",
        valid=torch.ones(shape, dtype=torch.bool) if valid is None else valid,
        priors=priors,
    )


def targets(*boxes):
    return tuple(
        Targets(
            boxes=torch.as_tensor(b, dtype=torch.float32).reshape(-1, 4),
            labels=torch.zeros(len(b), dtype=torch.int64),
            valid_size=IMAGE,
            padded_size=IMAGE,
            original_size=IMAGE,
            image_id=i,
        )
        for i, b in enumerate(boxes)
    )


def reference(stage, boxes, valid, topk):
    """The paper's Algorithm 1, one object and one anchor at a time."""
    priors = stage.priors
    centres = (priors[:, :2] + priors[:, 2:]) / 2
    best = {}
    for g, box in enumerate(boxes):
        centre = (box[:2] + box[2:]) / 2
        distance = (centres - centre).norm(dim=1)
        candidates = []
        for level in range(len(SIZES)):
            mine = [int(i) for i in (stage.level_idx == level).nonzero() if valid[i]]
            candidates += sorted(mine, key=lambda i: float(distance[i]))[:topk]
        ious = box_iou(priors[candidates], box[None])[:, 0].double()
        threshold = ious.mean() + ious.std()
        for i, iou in zip(candidates, ious.tolist(), strict=True):
            x, y = centres[i].tolist()
            inside = min(x - box[0], y - box[1], box[2] - x, box[3] - y) > 0.01
            if iou >= threshold and inside and iou > best.get(i, (-1, 0))[0]:
                best[i] = (iou, g)
    result = torch.full((len(priors),), BACKGROUND)
    for i, (_, g) in best.items():
        result[i] = g
    return result


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_algorithm_written_out(seed):
    generator = torch.Generator().manual_seed(seed)
    boxes = []
    for count in (4, 1, 6):
        # Odd positions keep distances apart, so that no tie decides who is a candidate.
        corner = torch.rand(count, 2, generator=generator) * torch.tensor([100.0, 70])
        size = 12 + torch.rand(count, 2, generator=generator) * 60
        boxes.append(torch.cat([corner, corner + size], 1))
    stage = predictions(3)
    stage.valid[1, torch.arange(stage.valid.shape[1]) % 7 == 0] = False
    match = ATSSAssigner(topk=9)(stage, targets(*boxes))
    for b, own in enumerate(boxes):
        expected = reference(stage, own, stage.valid[b], topk=9)
        assert torch.equal(match.gt_idx[b], expected)
        assert (expected >= 0).any()


def test_images_without_objects():
    match = ATSSAssigner()(predictions(2), targets([[20, 20, 90, 80]], []))
    assert match.num_positives[0] > 0
    assert match.num_positives[1] == 0
    assert (ATSSAssigner()(predictions(2), targets([], [])).gt_idx == BACKGROUND).all()


def test_invalid_anchors_are_never_positive():
    box = [[20, 20, 90, 80]]
    everything = ATSSAssigner()(predictions(1), targets(box))
    valid = ~everything.positive
    match = ATSSAssigner()(predictions(1, valid), targets(box))
    assert not (match.positive & ~valid).any()
    nothing = predictions(1, torch.zeros_like(valid))
    assert (ATSSAssigner()(nothing, targets(box)).gt_idx == BACKGROUND).all()


def test_of_equal_ious_the_first_object_wins():
    box = [33, 33, 97, 97]
    alone = ATSSAssigner()(predictions(1), targets([box]))
    twice = ATSSAssigner()(predictions(1), targets([box, box]))
    assert alone.positive.any()
    assert torch.equal(alone.gt_idx, twice.gt_idx)


def test_fewer_anchors_than_candidates():
    match = ATSSAssigner(topk=1000)(predictions(1), targets([[20, 20, 90, 80]]))
    assert 0 < match.num_positives[0] < 400


def test_bad_arguments():
    with pytest.raises(ValueError, match="`topk` to be at least 1, but got 0"):
        ATSSAssigner(topk=0)
    stage = predictions(1)
    without = Predictions(
        logits=stage.logits,
        boxes=stage.boxes,
        level_idx=stage.level_idx,
        activation="sigmoid",
        valid=stage.valid,
    )
    with pytest.raises(ValueError, match=r"`predictions\.priors`.*got None"):
        ATSSAssigner()(without, targets([]))
