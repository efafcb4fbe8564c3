import re
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from corrlight.assigners import HungarianAssigner
from corrlight.criteria import (
    ClassificationLoss,
    CrossEntropyClassification,
    FocalClassification,
    SetPredictionCriterion,
)
from corrlight.structures import BACKGROUND, Match, Predictions, Targets
from tests.helpers.detr_fixture import load_detr

SIZE = (40, 80)


def target(boxes, labels) -> Targets:
    return Targets(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.long),
        valid_size=SIZE,
        padded_size=(64, 96),
        original_size=SIZE,
        image_id=1,
    )


def example(activation="sigmoid"):
    generator = torch.Generator().manual_seed(0)
    columns = 3 + (activation == "softmax")
    low = torch.rand(2, 4, 2, generator=generator) * 20
    predictions = Predictions(
        logits=torch.randn(2, 4, columns, generator=generator).requires_grad_(),
        boxes=torch.cat([low, low + 5 + 15 * torch.rand(2, 4, 2, generator=generator)], -1)
        .detach()
        .requires_grad_(),
        level_idx=torch.zeros(4, dtype=torch.long),
        activation=activation,
        valid=torch.ones(2, 4, dtype=torch.bool),
    )
    targets = (target([[2, 3, 20, 18], [5, 5, 30, 30]], [2, 0]), target([[1, 1, 9, 22]], [1]))
    match = Match(gt_idx=torch.tensor([[-1, 1, -1, 0], [-1, -1, 0, -1]]))
    return predictions, targets, match


def numpy_giou(a, b):
    inner = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    union = sum(area) - inner
    outer = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return inner / union - (outer - union) / outer


@pytest.mark.parametrize("box_format", ["xyxy", "cxcywh"])
def test_terms_written_out(box_format) -> None:
    predictions, targets, match = example()
    criterion = SetPredictionCriterion(
        FocalClassification(), cls_weight=2, box_weight=5, giou_weight=3, box_format=box_format
    )
    normalizers = {"positives": torch.tensor(4.0)}  # as if averaged over ranks
    terms = criterion(predictions, targets, match, normalizers)

    logits = predictions.logits.detach().double().numpy()
    boxes = predictions.boxes.detach().double().numpy()
    cls = box = giou = 0.0
    for b, n in np.ndindex(2, 4):
        g = int(match.gt_idx[b, n])
        for c in range(3):
            p = 1 / (1 + np.exp(-logits[b, n, c]))
            positive = g >= 0 and int(targets[b].labels[g]) == c
            cls -= 0.25 * (1 - p) ** 2 * np.log(p) if positive else 0.75 * p**2 * np.log(1 - p)
        if g >= 0:
            pair = [boxes[b, n], targets[b].boxes[g].double().numpy()]
            giou += 1 - numpy_giou(*pair)
            pair = [x / np.array([80, 40, 80, 40]) for x in pair]
            if box_format == "cxcywh":
                pair = [np.concatenate([(x[:2] + x[2:]) / 2, x[2:] - x[:2]]) for x in pair]
            box += np.abs(pair[0] - pair[1]).sum()
    expected = {"loss_cls": 2 * cls / 4, "loss_box": 5 * box / 4, "loss_giou": 3 * giou / 4}
    assert {k: v.item() for k, v in terms.items()} == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_written_out() -> None:
    predictions, targets, match = example("softmax")
    criterion = SetPredictionCriterion(CrossEntropyClassification(0.1), cls_weight=1)
    terms = criterion(predictions, targets, match, {"positives": torch.tensor(3.0)})
    log_p = predictions.logits.detach().double().log_softmax(-1)
    total = weight = 0.0
    for b, n in np.ndindex(2, 4):
        g = int(match.gt_idx[b, n])
        label, w = (int(targets[b].labels[g]), 1.0) if g >= 0 else (3, 0.1)
        total, weight = total - w * log_p[b, n, label].item(), weight + w
    assert terms["loss_cls"].item() == pytest.approx(total / weight, rel=1e-5)


def test_normalizer_is_the_number_of_positives() -> None:
    predictions, targets, match = example()
    normalizers = SetPredictionCriterion(FocalClassification()).normalizers(
        predictions, targets, match
    )
    assert {k: v.item() for k, v in normalizers.items()} == {"positives": 3.0}


def test_the_own_normalizer_of_the_classification_is_local_or_passed_in() -> None:
    predictions, targets, match = example("softmax")
    positives = torch.tensor(3.0)
    terms = {}
    for normalizer in ("local", "global"):
        criterion = SetPredictionCriterion(CrossEntropyClassification(0.1), normalizer=normalizer)
        values = criterion.normalizers(predictions, targets, match)
        assert values["positives"] == 3
        if normalizer == "local":
            assert values.keys() == {"positives"}
        else:
            torch.testing.assert_close(values["classification"], torch.tensor(3 + 0.1 * 5))
            values["classification"] = 2 * values["classification"]  # as if averaged over ranks
        terms[normalizer] = criterion(predictions, targets, match, values)
    torch.testing.assert_close(terms["global"]["loss_cls"], terms["local"]["loss_cls"] / 2)
    assert terms["global"]["loss_box"] == terms["local"]["loss_box"]
    focal = SetPredictionCriterion(FocalClassification(), normalizer="global")
    assert focal.normalizers(*example()) == {"positives": positives}


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_without_objects_negatives_train_and_boxes_get_zero_gradient(activation) -> None:
    predictions, targets, match = example(activation)
    targets = tuple(replace(t, boxes=t.boxes[:0], labels=t.labels[:0]) for t in targets)
    match = Match(gt_idx=torch.full_like(match.gt_idx, BACKGROUND))
    classification = (
        FocalClassification() if activation == "sigmoid" else CrossEntropyClassification()
    )
    criterion = SetPredictionCriterion(classification)
    normalizers = criterion.normalizers(predictions, targets, match)
    terms = criterion(predictions, targets, match, normalizers)
    torch.stack(list(terms.values())).sum().backward()
    assert terms["loss_cls"] > 0
    assert terms["loss_box"] == 0
    assert terms["loss_giou"] == 0
    assert predictions.logits.grad.abs().sum() > 0
    assert predictions.boxes.grad is not None
    assert not predictions.boxes.grad.any()


def test_unmatched_boxes_get_no_gradient() -> None:
    predictions, targets, match = example()
    criterion = SetPredictionCriterion(FocalClassification())
    terms = criterion(predictions, targets, match, {"positives": torch.tensor(3.0)})
    torch.stack(list(terms.values())).sum().backward()
    touched = predictions.boxes.grad.abs().sum(-1) > 0
    assert (touched == match.positive).all()


class Balancing(ClassificationLoss):
    box_weighting: ClassVar = "score"

    def forward(self, sample, num_positives, box_losses):
        return {"loss_cls": sample.predictions.logits.sum()}


class Reweighing(ClassificationLoss):
    def forward(self, sample, num_positives, box_losses):
        return {"loss_cls": sample.predictions.logits.sum()}

    def box_term(self, box_losses, weights, normalizer, terms):
        return box_losses.sum()


@pytest.mark.parametrize("kind", [Balancing, Reweighing])
def test_classification_losses_that_weigh_dense_boxes_are_refused(kind) -> None:
    with pytest.raises(ValueError, match=f"got {kind.__name__}"):
        SetPredictionCriterion(kind())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"box_weight": -1.0}, "`box_weight` to be a finite number >= 0, but got -1.0"),
        ({"box_format": "xywh"}, "'xyxy', 'cxcywh', but got 'xywh'"),
        ({"normalizer": "mean"}, "'local', 'global', but got 'mean'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        SetPredictionCriterion(FocalClassification(), **arguments)


@pytest.mark.fixtures
def test_losses_of_the_published_detr() -> None:
    fixture = load_detr()
    head = fixture.config["head"]
    costs = fixture.config["train"]["assigner"]
    assigner = HungarianAssigner(
        *(costs[k]["weight"] for k in ("cls_cost", "reg_cost", "iou_cost")), box_format="cxcywh"
    )
    criterion = SetPredictionCriterion(
        CrossEntropyClassification(background_weight=head["loss_cls"]["class_weight"][-1]),
        cls_weight=head["loss_cls"]["loss_weight"],
        box_weight=head["loss_bbox"]["loss_weight"],
        giou_weight=head["loss_iou"]["loss_weight"],
        box_format="cxcywh",
    )
    names = {"loss_cls": "loss_cls", "loss_bbox": "loss_box", "loss_iou": "loss_giou"}
    terms = {}
    for i, stage in enumerate(fixture.stages):
        match = assigner(stage, fixture.targets)
        normalizers = criterion.normalizers(stage, fixture.targets, match)
        own = criterion(stage, fixture.targets, match, normalizers)
        # The last layer's terms carry no prefix there.
        prefix = "" if i == len(fixture.stages) - 1 else f"d{i}."
        terms.update({prefix + name: value.item() for name, value in own.items()})
    count = 0
    for variant in fixture.losses["losses"].values():
        for name, value in variant.items():
            found = re.fullmatch(r"(d\d+\.)?(loss_\w+)", name)
            if found is not None and found[2] in names:
                ours = terms[(found[1] or "") + names[found[2]]]
                assert ours == pytest.approx(value, rel=1e-4), name
                count += 1
    assert count == len(fixture.losses["losses"]) * len(terms)
