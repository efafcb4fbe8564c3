"""Sparse R-CNN against the published implementation; every case comes from the data's own files."""

import functools
import re

import pytest
import torch

from corrlight.assigners import HungarianAssigner
from corrlight.criteria import FocalClassification, SetPredictionCriterion
from corrlight.losses import CorrelationLoss
from corrlight.postprocess import TopKPostprocessor
from corrlight.structures import Positives, Predictions, Targets
from tests.helpers.fixture_cases import each_case
from tests.helpers.fixture_data import edge_targets
from tests.helpers.published_model import PublishedModel
from tests.helpers.set_prediction_fixture import (
    assert_same_correlation_gradient,
    assert_same_matches,
)

pytestmark = pytest.mark.fixtures
cases = functools.partial(each_case, "sparse_rcnn")
load_sparse_rcnn = functools.partial(PublishedModel.load, "sparse_rcnn")

TERMS = {"loss_cls": "loss_cls", "loss_bbox": "loss_box", "loss_iou": "loss_giou"}


def assigner() -> HungarianAssigner:
    costs = load_sparse_rcnn().config["train"]["assigner"]
    return HungarianAssigner(
        cls_cost=costs["cls_cost"]["weight"],
        box_cost=costs["reg_cost"]["weight"],
        giou_cost=costs["iou_cost"]["weight"],
    )


def criterion() -> SetPredictionCriterion:
    head = load_sparse_rcnn().config["stage_head"]
    return SetPredictionCriterion(
        FocalClassification(head["loss_cls"]["alpha"], head["loss_cls"]["gamma"]),
        cls_weight=head["loss_cls"]["loss_weight"],
        box_weight=head["loss_bbox"]["loss_weight"],
        giou_weight=head["loss_iou"]["loss_weight"],
    )


def correlation(variant: str) -> CorrelationLoss:
    found = re.fullmatch(r"([a-z]+)(?:_w([\d.]+))?", variant)
    assert found, variant
    weight = found[2] or load_sparse_rcnn().config["stage_head"]["corr_w"]
    return CorrelationLoss(found[1], weight=float(weight))


def terms_of(
    stages: list[Predictions], targets: tuple[Targets, ...], corr: CorrelationLoss
) -> dict[str, torch.Tensor]:
    terms = {}
    for i, stage in enumerate(stages):
        match = assigner()(stage, targets)
        normalizers = criterion().normalizers(stage, targets, match)
        own = criterion()(stage, targets, match, normalizers)
        own["loss_corr"] = corr.weight * corr(Positives.gather(stage, targets, match))
        terms.update({f"stage{i}_{name}": value for name, value in own.items()})
    return terms


def assert_same_terms(terms: dict[str, torch.Tensor], expected: dict[str, float | str]) -> int:
    count = 0
    for name, value in expected.items():
        found = re.fullmatch(r"(stage\d+_)(loss_\w+)", name)
        # Without positives the published focal loss is divided by 0 and its correlation missing.
        if found is None or value == "inf":
            continue
        ours = terms[found[1] + TERMS.get(found[2], found[2])]
        torch.testing.assert_close(ours.item(), value, rtol=1e-4, atol=1e-6, msg=name)
        count += 1
    return count


@cases("outputs")
def test_raw_outputs(case) -> None:
    fixture = load_sparse_rcnn()
    seen: dict[str, torch.Tensor] = {}

    def keep(prefix, maps):
        seen.update({f"{prefix}{i}": m for i, m in maps})

    hooks = [
        fixture.detector.backbone.register_forward_hook(
            lambda _, __, out: keep("C", enumerate(out, 2))
        ),
        fixture.detector.neck.register_forward_hook(
            lambda _, __, out: keep("fpn_", enumerate(out))
        ),
    ]
    for i, head in enumerate(fixture.detector.heads):
        hooks.append(
            head.register_forward_hook(
                lambda _, __, out, i=i: seen.update(
                    {f"stage{i}_deltas": out[1], f"stage{i}_obj": out[2]}
                )
            )
        )
        hooks.append(
            head.attention_norm.register_forward_hook(
                lambda _, __, out, i=i: seen.update({f"stage{i}_attn": out})
            )
        )
    try:
        with torch.no_grad():
            boxes = fixture.detector.initial_boxes(fixture.batch)
            stages = fixture.detector(fixture.batch)
    finally:
        for hook in hooks:
            hook.remove()
    seen["init_proposals"] = boxes
    whole = [[w, h, w, h] for h, w in fixture.batch.valid_sizes]
    seen["imgs_whwh"] = torch.tensor(whole)[:, None].float()
    image = torch.arange(len(boxes)).repeat_interleave(boxes.shape[1])[:, None]
    for i, stage in enumerate(stages):
        seen[f"stage{i}_rois"] = torch.cat([image, boxes.flatten(0, 1)], 1)
        seen[f"stage{i}_cls"] = stage.logits
        seen[f"stage{i}_boxes"] = stage.boxes.flatten(0, 1)
        boxes = stage.boxes
    assert len(fixture.outputs) > 0
    for name, expected in fixture.outputs.items():
        torch.testing.assert_close(seen[name], expected, rtol=1e-5, atol=1e-4, msg=name)


@cases("assignment")
def test_assignment(case) -> None:
    fixture = load_sparse_rcnn()
    with torch.no_grad():
        stages = fixture.detector(fixture.batch)
    matches = [assigner()(stage, fixture.batch.targets) for stage in stages]
    assert_same_matches(fixture, "stage", matches)


@cases("losses")
def test_losses(case) -> None:
    fixture = load_sparse_rcnn()
    with torch.no_grad():
        stages = fixture.detector(fixture.batch)
    expected = fixture.losses["losses"][case.name]
    terms = terms_of(stages, fixture.batch.targets, correlation(case.name))
    assert assert_same_terms(terms, expected) == len(terms)
    total = sum(value.item() for value in terms.values())
    assert total == pytest.approx(expected["_total"], rel=1e-4)


@cases("edge")
def test_losses_of_batches_with_few_objects(case) -> None:
    fixture = load_sparse_rcnn()
    with torch.no_grad():
        stages = fixture.detector(fixture.batch)
    variant, batch = case.name.split("/")
    targets = edge_targets(fixture.batch.targets, batch)
    terms = terms_of(stages, targets, correlation(variant))
    assert all(torch.isfinite(value) for value in terms.values())
    assert assert_same_terms(terms, fixture.losses["edge"][variant][batch]) > 0


@cases("grad_norm")
def test_gradient_norms(case) -> None:
    fixture = load_sparse_rcnn()
    terms = terms_of(fixture.detector(fixture.batch), fixture.batch.targets, correlation(case.name))
    fixture.assert_gradient_norms(case.name, terms, absolute=1e-4)


@cases("corr_grad")
def test_correlation_gradients(case) -> None:
    fixture = load_sparse_rcnn()
    with torch.no_grad():
        stages = fixture.detector(fixture.batch)
    count = 0
    for name, expected in fixture.assignment.items():
        found = re.fullmatch(r"corr_grad_(.+)_stage(\d+)_cls", name)
        if found is None or found[1] != case.name:
            continue
        index = int(found[2])
        assert_same_correlation_gradient(
            fixture, "stage", index, stages[index], correlation(found[1]), expected
        )
        count += 1
    assert count > 0


@cases("detections")
def test_detections(case) -> None:
    fixture = load_sparse_rcnn()
    postprocessor = TopKPostprocessor(fixture.config["test"]["max_per_img"], clip_boxes=False)
    with torch.no_grad():
        stages = fixture.detector(fixture.batch)
    detections = postprocessor(stages[-1], fixture.batch.valid_sizes)
    count = 0
    for name, expected in fixture.detections.items():
        quantity, image = name.rsplit("_", 1)
        ours = getattr(detections[int(image)], quantity)
        torch.testing.assert_close(ours, expected.to(ours.dtype), rtol=1e-5, atol=1e-4, msg=name)
        count += 1
    assert count == 3 * len(fixture.batch)
