"""YOLACT against the published implementation; every case comes from the data's own files."""

import functools
import re

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from corrlight.boxes import clip_boxes
from corrlight.losses import CorrelationLoss
from corrlight.losses.mask import box_regions
from corrlight.structures import BACKGROUND, IGNORED, Positives
from tests.helpers.dense_fixture import rows_of
from tests.helpers.fixture_cases import each_case
from tests.helpers.fixture_data import assert_same_detections, edge_targets
from tests.helpers.yolact_fixture import load_yolact

pytestmark = pytest.mark.fixtures
cases = functools.partial(each_case, "yolact")

TERMS = {"loss_bbox": "loss_box", "loss_segm": "loss_semantic"}


def correlation(variant: str) -> CorrelationLoss:
    """The published loss of a variant such as spearman_w0.2: summed over the images."""
    found = re.fullmatch(r"([a-z]+)_w([\d.]+)", variant)
    assert found, variant
    return CorrelationLoss(found[1], float(found[2]), group_by="image", reduction="sum")


def terms_of(predictions, targets, variant) -> dict[str, torch.Tensor]:
    fixture = load_yolact()
    match, criterion = fixture.assigner()(predictions, targets), fixture.criterion()
    normalizers = criterion.normalizers(predictions, targets, match)
    assert not normalizers  # all are the rank's own
    terms = criterion(predictions, targets, match, normalizers)
    if variant is not None:
        corr = correlation(variant)
        terms["loss_corr"] = corr.weight * corr(Positives.gather(predictions, targets, match))
    return terms


@cases("outputs")
def test_outputs(case) -> None:
    fixture = load_yolact()
    with torch.no_grad():
        maps = fixture.detector.backbone(fixture.batch.images)
        levels = fixture.detector.neck(maps)
        predictions = fixture.predict()
    actual = {f"C{i}": m for i, m in enumerate(maps, 2)}
    actual |= {f"fpn_{i}": m for i, m in enumerate(levels)}
    actual |= {"protos": predictions.mask.prototypes, "segm": predictions.mask.semantic_logits}
    for name, expected in fixture.outputs.items():
        found = re.fullmatch(r"(cls|reg|coeff|anchors)_(\d+)", name)
        if found is None:
            ours = actual[name]
        else:
            rows = predictions.level_idx == int(found[2])
            if found[1] == "anchors":
                ours = predictions.priors[rows]
            else:
                ours = {
                    "cls": predictions.logits,
                    "reg": predictions.deltas,
                    "coeff": predictions.mask.coefficients,
                }[found[1]][:, rows]
                expected = rows_of([expected], ours.shape[-1])
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4, msg=name)


@cases("assignment")
def test_assignment(case) -> None:
    fixture = load_yolact()
    with torch.no_grad():
        predictions = fixture.predict()
    gt_idx = fixture.assigner()(predictions, fixture.batch.targets).gt_idx
    for b, targets in enumerate(fixture.batch.targets):
        stored = fixture.assignment[f"gt_inds_{b}"].long() - 1
        stored[stored == -1], stored[stored == -2] = BACKGROUND, IGNORED
        assert torch.equal(gt_idx[b], stored)
        labels = torch.where(gt_idx[b] >= 0, targets.labels[gt_idx[b].clamp(min=0)], -1)
        assert labels.tolist() == fixture.assignment[f"labels_{b}"].tolist()
    assert (gt_idx >= 0).sum(1).tolist() == fixture.losses["num_pos"]


@cases("losses")
def test_losses(case) -> None:
    fixture = load_yolact()
    stored = fixture.losses["losses"][case.name]
    with torch.no_grad():
        terms = terms_of(
            fixture.predict(),
            fixture.batch.targets,
            None if case.name == "plain_head" else case.name,
        )
    assert {TERMS.get(n, n) for n in stored} == {*terms, "_total"}
    for name, values in stored.items():
        if name == "_total":
            assert sum(terms.values()).item() == pytest.approx(values, rel=1e-4)
        else:
            ours = terms[TERMS.get(name, name)].item()
            assert ours == pytest.approx(sum(values), rel=1e-4), name


@cases("edge")
def test_losses_of_batches_with_few_objects(case) -> None:
    fixture = load_yolact()
    batch, term = case.name.split("/")
    kind, edge = re.fullmatch(r"([a-z]+)_(.+)", batch).groups()
    targets = edge_targets(fixture.batch.targets, edge)
    with torch.no_grad():
        terms = terms_of(fixture.predict(), targets, f"{kind}_w0.4")
    expected = sum(fixture.losses["edge"][batch][term])
    assert terms[TERMS.get(term, term)].item() == pytest.approx(expected, rel=1e-4)


@cases("grad_norm")
def test_gradient_norms(case) -> None:
    fixture = load_yolact()
    terms = terms_of(fixture.predict(), fixture.batch.targets, case.name)
    fixture.assert_gradient_norms(case.name, terms, absolute=1e-4)


@cases("corr_grad")
def test_correlation_gradients(case) -> None:
    fixture = load_yolact()
    predictions = fixture.predict()
    match = fixture.assigner()(predictions, fixture.batch.targets)
    corr = correlation(case.name)
    value = corr.weight * corr(Positives.gather(predictions, fixture.batch.targets, match))
    (ours,) = torch.autograd.grad(value, predictions.logits)
    levels = [
        fixture.assignment[f"corr_grad_{case.name}_cls_{i}"]
        for i in range(int(predictions.level_idx.max()) + 1)
    ]
    expected = rows_of(levels, ours.shape[-1])
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-7)


@cases("detections")
def test_detections(case) -> None:
    fixture = load_yolact()
    with torch.no_grad():
        predictions = fixture.predict()
    found = fixture.postprocessor()(predictions, fixture.batch.valid_sizes)
    prefix = f"{case.name}_" if case.name else ""
    for b, detections in enumerate(found):
        stored = {
            key: fixture.detections[f"{prefix}{key}_{b}"]
            for key in ("boxes", "scores", "labels", "coeffs", "mask_prob", "mask_bits")
        }
        assert_same_detections(detections, stored)
        order = stored["scores"].argsort(descending=True, stable=True)
        ours = predictions.mask.coefficients[b, detections.pred_idx]
        torch.testing.assert_close(ours, stored["coeffs"][order], rtol=0, atol=1e-4)
        width = fixture.batch.targets[b].original_size[1]
        bits = np.unpackbits(stored["mask_bits"].numpy(), axis=-1)[..., :width]
        masks = np.moveaxis(coco_mask.decode(detections.masks), -1, 0)
        assert masks.shape == bits.shape
        different = (masks != bits[order.numpy()]).sum((1, 2))
        # A probability of 0.5 up to rounding may fall on either side.
        assert different.max() <= 1, different
        assert different.sum() <= 3, different


@cases("detections")
def test_mask_probabilities(case) -> None:
    fixture = load_yolact()
    with torch.no_grad():
        mask = fixture.predict().mask
    size = (mask.prototypes.shape[2], mask.prototypes.shape[3])
    prefix = f"{case.name}_" if case.name else ""
    for b, valid_size in enumerate(fixture.batch.valid_sizes):
        stored = fixture.detections[f"{prefix}mask_prob_{b}"]
        coefficients = fixture.detections[f"{prefix}coeffs_{b}"][: len(stored)]
        boxes = clip_boxes(fixture.detections[f"{prefix}boxes_{b}"][: len(stored)], valid_size)
        logits = torch.einsum("pk,khw->phw", coefficients, mask.prototypes[b])
        ours = logits.sigmoid() * box_regions(boxes, valid_size, size)
        torch.testing.assert_close(ours, stored, rtol=0, atol=1e-4)
