"""DETR against the published implementation; every case comes from the data's own files."""

import functools
import re

import pytest
import torch

from corrlight.assigners import HungarianAssigner
from corrlight.criteria import CrossEntropyClassification, SetPredictionCriterion
from corrlight.losses import CorrelationLoss
from corrlight.postprocess import TopKPostprocessor
from corrlight.structures import Positives, Predictions, Targets
from tests.helpers.detr_fixture import load_detr
from tests.helpers.fixture_cases import each_case
from tests.helpers.fixture_data import edge_targets
from tests.helpers.set_prediction_fixture import (
    assert_same_correlation_gradient,
    assert_same_matches,
)

pytestmark = pytest.mark.fixtures
cases = functools.partial(each_case, "detr")

TERMS = {"loss_cls": "loss_cls", "loss_bbox": "loss_box", "loss_iou": "loss_giou"}


def assigner() -> HungarianAssigner:
    costs = load_detr().config["train"]["assigner"]
    return HungarianAssigner(
        *(costs[k]["weight"] for k in ("cls_cost", "reg_cost", "iou_cost")), box_format="cxcywh"
    )


def criterion() -> SetPredictionCriterion:
    head = load_detr().config["head"]
    return SetPredictionCriterion(
        CrossEntropyClassification(background_weight=head["loss_cls"]["class_weight"][-1]),
        cls_weight=head["loss_cls"]["loss_weight"],
        box_weight=head["loss_bbox"]["loss_weight"],
        giou_weight=head["loss_iou"]["loss_weight"],
        box_format="cxcywh",
    )


def correlation(variant: str) -> CorrelationLoss:
    """The loss of a variant such as spearman_w0.2.

    The published head never multiplies by lambda, so its values are those of weight 1, which is
    how this configuration asks for the published loss.
    """
    found = re.fullmatch(r"([a-z]+)(?:_w[\d.]+)?", variant)
    assert found, variant
    return CorrelationLoss(found[1], weight=1.0)


def terms_of(
    stages: list[Predictions], targets: tuple[Targets, ...], corr: CorrelationLoss | None
) -> dict[str, torch.Tensor]:
    """Return the terms under the published names: the last layer's carry no prefix."""
    terms = {}
    for i, stage in enumerate(stages):
        match = assigner()(stage, targets)
        normalizers = criterion().normalizers(stage, targets, match)
        own = criterion()(stage, targets, match, normalizers)
        prefix = "" if i == len(stages) - 1 else f"d{i}."
        terms.update({prefix + theirs: own[ours] for theirs, ours in TERMS.items()})
        if corr is not None:
            value = corr.weight * corr(Positives.gather(stage, targets, match))
            terms[f"{prefix}loss_corr"] = value
    return terms


def predict() -> list[Predictions]:
    fixture = load_detr()
    with torch.no_grad():
        return fixture.detector(fixture.batch)


@cases("outputs")
def test_raw_outputs(case) -> None:
    fixture = load_detr()
    seen: dict[str, torch.Tensor] = {}
    hook = fixture.detector.backbone.register_forward_hook(
        lambda _, __, maps: seen.update(C5=maps[-1])
    )
    try:
        stages = predict()
    finally:
        hook.remove()
    seen["all_cls"] = torch.stack([s.logits for s in stages])
    sizes = torch.tensor([[w, h, w, h] for h, w in fixture.batch.valid_sizes])
    corners = torch.stack([s.boxes / sizes[:, None] for s in stages])
    low, high = corners[..., :2], corners[..., 2:]
    seen["all_boxes"] = torch.cat([(low + high) / 2, high - low], -1)
    assert len(fixture.outputs) > 0
    for name, expected in fixture.outputs.items():
        torch.testing.assert_close(seen[name], expected, rtol=0, atol=1e-4, msg=name)


@cases("assignment")
def test_assignment(case) -> None:
    fixture = load_detr()
    matches = [assigner()(stage, fixture.targets) for stage in predict()]
    assert_same_matches(fixture, "layer", matches)


@cases("losses")
def test_losses(case) -> None:
    fixture = load_detr()
    expected = fixture.losses["losses"][case.name]
    corr = None if case.name == "plain_head" else correlation(case.name)
    terms = terms_of(predict(), fixture.targets, corr)
    assert {*terms, "_total"} == expected.keys()
    for name, value in {**terms, "_total": sum(terms.values())}.items():
        assert value.item() == pytest.approx(expected[name], rel=1e-4), name


@cases("edge")
def test_losses_of_batches_with_few_objects(case) -> None:
    fixture = load_detr()
    kind, batch = case.name.split("/")
    expected = fixture.losses["edge"][kind][batch]
    terms = terms_of(predict(), edge_targets(fixture.targets, batch), correlation(kind))
    assert terms.keys() == expected.keys()
    for name, value in terms.items():
        assert value.item() == pytest.approx(expected[name], rel=1e-4), name


@cases("grad_norm")
def test_gradient_norms(case) -> None:
    fixture = load_detr()
    terms = terms_of(fixture.detector(fixture.batch), fixture.targets, correlation(case.name))
    fixture.assert_gradient_norms(case.name, terms, absolute=1e-4)


@cases("corr_grad")
def test_correlation_gradients(case) -> None:
    fixture = load_detr()
    count = 0
    for name, expected in fixture.assignment.items():
        found = re.fullmatch(r"corr_grad_(.+)_all_cls", name)
        if found is None or found[1] != case.name:
            continue
        for layer, stage in enumerate(predict()):
            assert_same_correlation_gradient(
                fixture, "layer", layer, stage, correlation(found[1]), expected[layer]
            )
        count += 1
    assert count > 0


@cases("detections")
def test_detections(case) -> None:
    fixture = load_detr()
    postprocessor = TopKPostprocessor(fixture.config["test"]["max_per_img"], "argmax")
    detections = postprocessor(predict()[-1], fixture.batch.valid_sizes)
    count = 0
    for name, expected in fixture.detections.items():
        quantity, image = name.rsplit("_", 1)
        ours = getattr(detections[int(image)], quantity)
        torch.testing.assert_close(ours, expected.to(ours.dtype), rtol=0, atol=1e-4, msg=name)
        count += 1
    assert count == 3 * len(fixture.batch)
