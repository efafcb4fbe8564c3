"""ATSS against the published implementation; every case comes from the data's own files."""

import json
import re

import pytest
import torch

from corrlight.assigners import ATSSAssigner
from corrlight.criteria import DenseCriterion, FocalClassification, GIoUBoxLoss
from corrlight.losses import CorrelationLoss
from corrlight.postprocess import NMSPostprocessor
from corrlight.structures import BACKGROUND, Positives
from tests.helpers.atss_fixture import load_atss, rows_of
from tests.helpers.paths import fixtures_root
from tests.helpers.sparse_rcnn_fixture import load_arrays

pytestmark = pytest.mark.fixtures

NAMES = ["atss", "atss_noaux"]
TERMS = {"loss_cls": "loss_cls", "loss_bbox": "loss_box", "loss_centerness": "loss_centerness"}


def assigner(fixture):
    return ATSSAssigner(topk=fixture.config["train"]["assigner"]["topk"])


def criterion(fixture):
    head = fixture.config["head"]
    return DenseCriterion(
        FocalClassification(head["loss_cls"]["alpha"], head["loss_cls"]["gamma"]),
        GIoUBoxLoss(),
        box_weight=head["loss_bbox"]["loss_weight"],
        box_weighting="centerness",
        quality="centerness",
        quality_weight=head["loss_centerness"]["loss_weight"] or 1.0,
        aux_head=fixture.detector.aux_head,
    )


def correlation(variant):
    found = re.fullmatch(r"([a-z]+)_(all|single)_w([\d.]+)(?:_reg([\d.]+))?", variant)
    assert found, variant
    strength = {"regularization_strength": float(found[4])} if found[4] else {}
    return CorrelationLoss(
        found[1],
        weight=float(found[3]),
        group_by={"all": "batch", "single": "level"}[found[2]],
        **strength,
    )


def terms_of(fixture, targets, variant):
    predictions = fixture.predict()
    match = assigner(fixture)(predictions, targets)
    own = criterion(fixture)
    terms = own(predictions, targets, match, own.normalizers(predictions, targets, match))
    if variant != "plain_head":
        loss = correlation(variant)
        terms["loss_corr"] = loss.weight * loss(Positives.gather(predictions, targets, match))
    return terms, predictions


def variants(key):
    return [
        (name, variant)
        for name in NAMES
        for variant in json.loads((fixtures_root() / name / "losses.json").read_text())[key]
    ]


def edge_batches():
    cases = []
    for name in NAMES:
        edge = json.loads((fixtures_root() / name / "losses.json").read_text())["edge"]
        cases += [(name, variant, batch) for variant in edge for batch in edge[variant]]
    return cases


def total(stored):
    return sum(stored) if isinstance(stored, list) else stored


def assert_terms(terms, stored):
    for published, value in stored.items():
        if published != "_total":
            ours = float(terms[TERMS.get(published, published)].detach())
            assert ours == pytest.approx(total(value), rel=1e-4, abs=1e-6), published


def test_raw_outputs():
    fixture = load_atss("atss")
    predictions = fixture.predict()
    close = {"rtol": 0, "atol": 1e-4}
    num_classes = fixture.config["head"]["num_classes"]
    torch.testing.assert_close(predictions.logits, fixture.rows("cls", num_classes), **close)
    torch.testing.assert_close(predictions.deltas, fixture.rows("reg", 4), **close)
    quality = fixture.rows("centerness", 1).squeeze(-1)
    torch.testing.assert_close(predictions.quality, quality, **close)


def test_backbone_and_pyramid():
    fixture = load_atss("atss")
    maps = fixture.detector.backbone(fixture.batch.images)
    levels = fixture.detector.neck(maps)
    for i, actual in enumerate(maps):
        torch.testing.assert_close(actual, fixture.outputs[f"C{i + 2}"], rtol=0, atol=1e-4)
    for i, actual in enumerate(levels):
        torch.testing.assert_close(actual, fixture.outputs[f"fpn_{i}"], rtol=0, atol=1e-4)


def test_anchors():
    fixture = load_atss("atss")
    predictions = fixture.predict()
    levels = [fixture.outputs[f"anchors_{i}"] for i in range(fixture.detector.neck.num_levels)]
    assert torch.equal(predictions.priors, torch.cat(levels))
    sizes = torch.tensor([len(a) for a in levels])
    assert torch.equal(predictions.level_idx.bincount(), sizes)
    assert predictions.valid[0].all()
    assert torch.equal(predictions.valid[1], fixture.outputs["valid_image1"])


def test_assignment():
    fixture = load_atss("atss")
    match = assigner(fixture)(fixture.predict(), fixture.batch.targets)
    for b, gt_idx in enumerate(match.gt_idx):
        stored = fixture.assignment[f"gt_inds_{b}"].long()  # 0 is background
        assert torch.equal(gt_idx, stored - 1)
        assert (gt_idx != BACKGROUND).any()


@pytest.mark.parametrize(("name", "variant"), variants("losses"))
def test_losses(name, variant):
    fixture = load_atss(name)
    stored = fixture.losses["losses"][variant]
    terms, _ = terms_of(fixture, fixture.batch.targets, variant)
    assert_terms(terms, stored)
    assert float(sum(terms.values()).detach()) == pytest.approx(stored["_total"], rel=1e-4)


@pytest.mark.parametrize(("name", "variant", "case"), edge_batches())
def test_losses_of_edge_batches(name, variant, case):
    fixture = load_atss(name)
    edge = fixture.losses["edge"]
    stored = edge[variant][case]
    if stored == "raised":
        pytest.fail("a case that the published code does not survive needs a decision")
    if not total(stored["loss_cls"]):
        # Published over all levels, a batch without positives trains no negative. Ours does, as
        # the published per-level form.
        per_level = next(v for v in edge if "_single_" in v)
        stored = {**stored, "loss_cls": edge[per_level][case]["loss_cls"]}
        assert total(stored["loss_cls"]) > 0
    terms, _ = terms_of(fixture, fixture.targets_of(case), variant)
    assert_terms(terms, stored)


@pytest.mark.parametrize(("name", "variant"), variants("corr_grad"))
def test_correlation_gradients(name, variant):
    fixture = load_atss(name)
    predictions = fixture.predict()
    match = assigner(fixture)(predictions, fixture.batch.targets)
    loss = correlation(variant)
    term = loss.weight * loss(Positives.gather(predictions, fixture.batch.targets, match))
    logits, boxes = torch.autograd.grad(
        term, [predictions.logits, predictions.boxes], allow_unused=True, materialize_grads=True
    )
    assert not boxes.any()
    norms = [
        float(logits[:, predictions.level_idx == i].norm())
        for i in range(fixture.detector.neck.num_levels)
    ]
    stored = fixture.losses["corr_grad"][variant]
    assert norms == pytest.approx(stored["wrt_cls"], rel=1e-4, abs=1e-7)
    path = fixture.folder / f"corr_grad_{variant}.npz"
    if path.is_file():
        arrays = load_arrays(path)
        expected = rows_of([arrays[k] for k in sorted(arrays)], predictions.num_classes)
        torch.testing.assert_close(
            logits, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())
        )


@pytest.mark.parametrize(("name", "variant"), variants("grad_norm"))
def test_gradient_norm_of_every_parameter(name, variant):
    fixture = load_atss(name)
    terms, _ = terms_of(fixture, fixture.batch.targets, variant)
    parameters = dict(fixture.detector.named_parameters())
    trainable = {n: p for n, p in parameters.items() if p.requires_grad}
    gradients = torch.autograd.grad(sum(terms.values()), trainable.values())
    norms = {n: float(g.norm()) for n, g in zip(trainable, gradients, strict=True)}
    stored = fixture.losses["grad_norm"][variant]
    rules = fixture.detector.toolbox_names
    for published, norm in stored.items():
        found = next(m for p, r in rules if (m := re.fullmatch(p, published)) and (ours := r))
        assert norms[found.expand(ours)] == pytest.approx(norm, rel=1e-3, abs=1e-6), published
    assert len(stored) == len(norms)


def detection_cases():
    return [
        (name, tag.removesuffix("_boxes_0"))
        for name in NAMES
        for tag in load_arrays(fixtures_root() / name / "detections.npz")
        if tag.endswith("_boxes_0")
    ]


@pytest.mark.parametrize(("name", "tag"), detection_cases())
def test_detections(name, tag):
    fixture = load_atss(name)
    test = fixture.config["test"]
    options = {
        "score_thresh": test["score_thr"],
        "topk_candidates": test["nms_pre"],
        "max_detections": test["max_per_img"],
    }
    found = re.search(r"_thr([\d.]+)_max(\d+)_pre(\d+)", tag)
    if found:
        options = {
            "score_thresh": float(found[1]),
            "max_detections": int(found[2]),
            "topk_candidates": int(found[3]),
        }
    postprocessor = NMSPostprocessor(
        nms_thresh=test["nms"]["iou_threshold"], quality="product", **options
    )
    for b, actual in enumerate(postprocessor(fixture.predict(), fixture.batch.valid_sizes)):
        expected = {k: fixture.detections[f"{tag}_{k}_{b}"] for k in ("scores", "labels", "boxes")}
        torch.testing.assert_close(actual.scores, expected["scores"], rtol=1e-4, atol=1e-5)
        unused = set(range(len(actual)))
        for score, label, box in zip(*expected.values(), strict=True):
            # Equal scores may come in any order.
            same = (actual.labels == label) & ((actual.scores - score).abs() < 1e-4)
            same &= (actual.boxes - box).abs().amax(1) < 1e-2
            candidates = unused.intersection(same.nonzero().flatten().tolist())
            assert candidates, (float(score), int(label), box.tolist())
            unused.remove(min(candidates))
