import dataclasses

import pytest
import torch
from torchvision.ops import box_iou

from corrlight.assigners import MaxIoUAssigner
from corrlight.structures import BACKGROUND, IGNORED
from tests.assigners.scene import predictions, random_boxes, targets


def reference(priors, boxes, valid, positive, negative, force_match):
    """One prior, then one object at a time."""
    result = []
    ious = box_iou(boxes, priors) * valid
    for column in ious.T:
        best = float(column.max())
        kind = IGNORED if best >= negative else BACKGROUND
        result.append(int(column.argmax()) if best >= positive else kind)
    for g, row in enumerate(ious):
        ties = (row == row.max()).nonzero().flatten().tolist()
        if force_match and row.max() > 0:
            for i in ties if force_match == "ties" else ties[:1]:
                result[i] = g
    return torch.tensor(result)


@pytest.mark.parametrize("force_match", ["ties", "one", None])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_definition_written_out(seed, force_match):
    # On a grid of 4 pixels objects have several best anchors.
    boxes = [(random_boxes(n, 10 * seed + n) / 4).round() * 4 for n in (5, 1)]
    stage = predictions(2)
    stage.valid[1, torch.arange(stage.valid.shape[1]) % 7 == 0] = False
    match = MaxIoUAssigner(0.5, 0.4, force_match)(stage, targets(*boxes))
    for b, own in enumerate(boxes):
        expected = reference(stage.priors, own, stage.valid[b], 0.5, 0.4, force_match)
        assert torch.equal(match.gt_idx[b], expected)
    assert match.positive.any()


def test_images_without_objects():
    match = MaxIoUAssigner()(predictions(2), targets([[20, 20, 90, 80]], []))
    assert match.num_positives[0] > 0
    assert (match.gt_idx[1] == BACKGROUND).all()


def test_objects_that_overlap_no_anchor_take_none():
    beyond, flat = [5000.0, 5000, 5040, 5040], [30.0, 30, 30, 60]
    match = MaxIoUAssigner()(predictions(1), targets([beyond, flat]))
    assert (match.gt_idx == BACKGROUND).all()


def test_forced_matches_are_all_ties_or_the_first():
    tiny = [[60.0, 60, 62, 62]]
    counts = [
        int(MaxIoUAssigner(force_match=kind)(predictions(1), targets(tiny)).num_positives)
        for kind in ("ties", "one", None)
    ]
    assert counts[0] > 1
    assert counts[1:] == [1, 0]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"positive_iou": 0.3}, r"negative_iou <= positive_iou <= 1, but got 0\.4 and 0\.3"),
        ({"negative_iou": 0.0}, r"got 0\.0 and 0\.5"),
        ({"force_match": "all"}, "`force_match`.*got 'all'"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MaxIoUAssigner(**kwargs)
    stage = dataclasses.replace(predictions(1), priors=None)
    with pytest.raises(ValueError, match=r"`predictions\.priors`.*got None"):
        MaxIoUAssigner()(stage, targets([]))


def test_objects_below_the_least_iou_take_nothing():
    boxes = [[20.0, 20, 52, 52], [60.0, 60, 62, 62]]  # an anchor's size, and far smaller
    counts = [
        MaxIoUAssigner(least_forced_iou=least)(predictions(1), targets(boxes)).gt_idx[0]
        for least in (0.0, 0.3)
    ]
    assert (counts[0] == 1).any()
    assert not (counts[1] == 1).any()
    assert torch.equal(counts[1] == 0, counts[0] == 0)
    with pytest.raises(ValueError, match=r"`least_forced_iou`.*got 1.5"):
        MaxIoUAssigner(least_forced_iou=1.5)


def test_priors_of_each_image_and_those_that_are_given():
    stage, boxes = predictions(2), (random_boxes(4, 1), random_boxes(3, 2))
    expected = MaxIoUAssigner()(stage, targets(*boxes)).gt_idx
    shifted = torch.stack([stage.priors, stage.priors + 4])
    own = dataclasses.replace(stage, priors=shifted)
    assert torch.equal(MaxIoUAssigner()(own, targets(*boxes)).gt_idx[0], expected[0])
    # Objects' own boxes in front: each is its object's, and takes no other's best prior away.
    both = [torch.cat([b, stage.priors])[: len(stage.priors)] for b in boxes]
    given = torch.full_like(expected, BACKGROUND)
    for row, b in zip(given, boxes, strict=True):
        row[: len(b)] = torch.arange(len(b))
    own = dataclasses.replace(stage, priors=torch.stack(both), given=given)
    found = MaxIoUAssigner()(own, targets(*boxes)).gt_idx
    for b, objects in enumerate(boxes):
        count = len(objects)
        assert found[b, :count].tolist() == list(range(count))
        assert torch.equal(found[b, count:-count], expected[b, : -2 * count])
