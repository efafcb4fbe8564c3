import itertools
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import generalized_box_iou

from corrlight.assigners import HungarianAssigner
from corrlight.boxes import xyxy_to_cxcywh
from corrlight.structures import BACKGROUND, Predictions, Targets
from tests.helpers.detr_fixture import load_detr


def boxes_in(size, count, generator):
    height, width = size
    low = torch.rand(count, 2, generator=generator) * 0.6
    high = low + 0.05 + torch.rand(count, 2, generator=generator) * 0.35
    return torch.cat([low, high], 1) * torch.tensor([width, height] * 2)


def problem(seed, counts, num_preds=5, num_classes=3, activation="sigmoid"):
    generator = torch.Generator().manual_seed(seed)
    sizes = [(60, 90), (40, 50), (64, 64)][: len(counts)]
    targets = tuple(
        Targets(
            boxes=boxes_in(size, count, generator),
            labels=torch.randint(num_classes, (count,), generator=generator),
            valid_size=size,
            padded_size=(64, 96),
            original_size=size,
            image_id=100 + i,
        )
        for i, (size, count) in enumerate(zip(sizes, counts, strict=True))
    )
    columns = num_classes + (activation == "softmax")
    predictions = Predictions(
        logits=torch.randn(len(counts), num_preds, columns, generator=generator) * 2,
        boxes=torch.stack([boxes_in(size, num_preds, generator) for size in sizes]),
        level_idx=torch.zeros(num_preds, dtype=torch.long),
        activation=activation,
        valid=torch.ones(len(counts), num_preds, dtype=torch.bool),
    )
    return predictions, targets


def cost_matrix(predictions, target, b, weights, box_format):
    """The cost of one image, element by element from its definition."""
    height, width = target.valid_size
    size = torch.tensor([width, height] * 2)
    pred_boxes, logits = predictions.boxes[b], predictions.logits[b].double()
    giou = generalized_box_iou(pred_boxes, target.boxes)
    cost = torch.zeros(len(pred_boxes), len(target.labels))
    for n, g in itertools.product(*map(range, cost.shape)):
        if predictions.activation == "sigmoid":
            p = logits[n, target.labels[g]].sigmoid()
            cls = -0.25 * (1 - p) ** 2 * p.log() + 0.75 * p**2 * (1 - p).log()
        else:
            cls = -logits[n].softmax(0)[target.labels[g]]
        pair = torch.stack([pred_boxes[n] / size, target.boxes[g] / size])
        if box_format == "cxcywh":
            pair = xyxy_to_cxcywh(pair)
        terms = (cls, (pair[0] - pair[1]).abs().sum(), -giou[n, g])
        cost[n, g] = sum(w * t for w, t in zip(weights, terms, strict=True))
    return cost


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    activation=st.sampled_from(["sigmoid", "softmax"]),
    box_format=st.sampled_from(["xyxy", "cxcywh"]),
)
def test_has_the_least_cost_of_all_assignments(seed, activation, box_format) -> None:
    predictions, targets = problem(seed, (2, 0, 3), activation=activation)
    weights = (2.0, 5.0, 2.0)
    match = HungarianAssigner(*weights, box_format=box_format)(predictions, targets)
    for b, target in enumerate(targets):
        gt_idx, count = match.gt_idx[b], len(target.labels)
        assert sorted(gt_idx[gt_idx >= 0].tolist()) == list(range(count))
        assert (gt_idx >= 0).sum() + (gt_idx == BACKGROUND).sum() == len(gt_idx)
        cost = cost_matrix(predictions, target, b, weights, box_format)
        least = min(
            sum(cost[n, g] for g, n in enumerate(chosen))
            for chosen in itertools.permutations(range(len(gt_idx)), count)
        )
        ours = sum(cost[n, g] for n, g in enumerate(gt_idx.tolist()) if g >= 0)
        assert float(ours) == pytest.approx(float(least), abs=1e-4)


def test_more_objects_than_hypotheses_leaves_objects_out() -> None:
    predictions, targets = problem(0, (7,), num_preds=4)
    gt_idx = HungarianAssigner()(predictions, targets).gt_idx[0]
    assert len(set(gt_idx.tolist())) == 4
    assert (gt_idx >= 0).all()


def test_no_objects_at_all_is_all_background() -> None:
    predictions, targets = problem(0, (0, 0))
    gt_idx = HungarianAssigner()(predictions, targets).gt_idx
    assert gt_idx.shape == (2, 5)
    assert (gt_idx == BACKGROUND).all()


def test_images_do_not_influence_each_other() -> None:
    predictions, targets = problem(3, (4, 1))
    both = HungarianAssigner()(predictions, targets).gt_idx
    first = Predictions(
        logits=predictions.logits[:1],
        boxes=predictions.boxes[:1],
        level_idx=predictions.level_idx,
        activation="sigmoid",
        valid=predictions.valid[:1],
    )
    assert (HungarianAssigner()(first, targets[:1]).gt_idx[0] == both[0]).all()


def test_half_precision_logits_are_matched_in_single_precision() -> None:
    predictions, targets = problem(5, (3, 2))
    half = Predictions(
        logits=predictions.logits.bfloat16(),
        boxes=predictions.boxes,
        level_idx=predictions.level_idx,
        activation="sigmoid",
        valid=predictions.valid,
    )
    rounded = Predictions(
        logits=half.logits.float(),
        boxes=predictions.boxes,
        level_idx=predictions.level_idx,
        activation="sigmoid",
        valid=predictions.valid,
    )
    assigner = HungarianAssigner()
    with torch.autocast("cpu", torch.bfloat16):
        assert (assigner(half, targets).gt_idx == assigner(rounded, targets).gt_idx).all()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("logits", r"not: `cls_cost` in the images \[101\]\."),
        ("boxes", r"not: `box_cost` in the images \[101\]; `giou_cost` in the images \[101\]\."),
    ],
)
def test_costs_that_are_not_finite_are_named(part, message) -> None:
    predictions, targets = problem(0, (2, 3))
    getattr(predictions, part)[1, 2] = float("nan")
    with pytest.raises(FloatingPointError, match=message):
        HungarianAssigner()(predictions, targets)


def test_saturated_logits_have_finite_costs() -> None:
    predictions, targets = problem(0, (2, 3))
    predictions.logits[0, 0] = 1e4
    predictions.logits[1, 1] = -1e4
    match = HungarianAssigner()(predictions, targets)
    assert match.num_positives.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cls_cost": -1.0}, "`cls_cost` to be a finite number >= 0, but got -1.0"),
        ({"giou_cost": float("nan")}, "`giou_cost` to be a finite number >= 0, but got nan"),
        ({"cls_cost": 0, "box_cost": 0, "giou_cost": 0}, "to be positive"),
        ({"box_format": "xywh"}, "'xyxy', 'cxcywh', but got 'xywh'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        HungarianAssigner(**arguments)


@pytest.mark.fixtures
def test_matches_of_the_published_detr() -> None:
    fixture = load_detr()
    costs = fixture.config["train"]["assigner"]
    assigner = HungarianAssigner(
        cls_cost=costs["cls_cost"]["weight"],
        box_cost=costs["reg_cost"]["weight"],
        giou_cost=costs["iou_cost"]["weight"],
        box_format="cxcywh",
    )
    matches = [assigner(stage, fixture.targets) for stage in fixture.stages]
    count = 0
    for name, expected in fixture.assignment.items():
        found = re.fullmatch(r"layer(\d+)_gt_inds_(\d+)", name)
        if found is not None:
            ours = matches[int(found[1])].gt_idx[int(found[2])] + 1  # there 0 is background
            assert ours.tolist() == expected.tolist(), name
            count += 1
    assert count == len(fixture.stages) * len(fixture.targets)
