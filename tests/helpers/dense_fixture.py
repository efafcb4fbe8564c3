"""The reduced dense detectors of the published implementation, as data and as our parts."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from corrlight.assigners import ATSSAssigner, FoveaBoxAssigner, MaxIoUAssigner, PAAAssigner
from corrlight.assigners.base import Assigner
from corrlight.backbones import FPN
from corrlight.criteria import (
    DenseCriterion,
    FocalClassification,
    GIoUBoxLoss,
    SmoothL1BoxLoss,
)
from corrlight.detectors import ATSS, PAA, FoveaBox, RetinaNet
from corrlight.detectors.dense import DenseDetector
from corrlight.detectors.toolbox_names import from_toolbox_names
from corrlight.losses import CorrelationLoss
from corrlight.postprocess import NMSPostprocessor
from corrlight.structures import Batch, Positives, Predictions, Targets
from tests.helpers.fixture_data import build_backbone, load_arrays, load_batch
from tests.helpers.paths import fixtures_root

FOLDERS = "retinanet foveabox atss atss_noaux paa paa_noaux"


@dataclass(frozen=True)
class DenseFixture:
    """Everything the published implementation says of one reduced model, and our parts of it."""

    folder: Path
    config: dict[str, Any]
    losses: dict[str, Any]
    outputs: dict[str, Tensor]
    assignment: dict[str, Tensor]
    batch: Batch
    detector: DenseDetector
    assigner: Assigner
    criterion: DenseCriterion

    def predict(self) -> Predictions:
        """Return fresh predictions with a graph."""
        return self.detector(self.batch)[0]

    def rows(self, name: str, num_outputs: int) -> Tensor:
        """Return a stored raw output of all levels as ``(B, N, num_outputs)``."""
        maps = [self.outputs[key] for key in sorted(self.outputs) if key.startswith(f"{name}_")]
        return rows_of(maps, num_outputs)

    def terms(self, targets: tuple[Targets, ...], variant: str) -> dict[str, Tensor]:
        """Return our loss terms by name, with the correlation of a variant."""
        predictions = self.predict()
        match = self.assigner(predictions, targets)
        normalizers = self.criterion.normalizers(predictions, targets, match)
        terms = self.criterion(predictions, targets, match, normalizers)
        if variant != "plain_head":
            loss = correlation(variant)
            terms["loss_corr"] = loss.weight * loss(Positives.gather(predictions, targets, match))
        return terms

    def postprocessor(self, tag: str) -> NMSPostprocessor:
        """Return the post-processing of a tag of the stored detections."""
        test = self.config["test"]
        options: dict[str, Any] = {
            "score_thresh": test["score_thr"],
            "topk_candidates": test["nms_pre"],
            "max_detections": test["max_per_img"],
        }
        if found := re.search(r"_thr([\d.]+)_max(\d+)_pre(\d+)", tag):
            options["score_thresh"] = float(found[1])
            options["max_detections"] = int(found[2])
            options["topk_candidates"] = int(found[3])
        if isinstance(self.detector, ATSS):
            options["quality"] = "product"
        if isinstance(self.detector, PAA):
            # The published correlation head leaves the IoU branch out of everything but the cut.
            quality = None if tag == "corr_head" else "sqrt"
            options |= {"quality": quality, "select_on": "ranking_scores", "preselect": "product"}
            options["voting_sigma"] = 0.025
        if isinstance(self.detector, FoveaBox):
            options["border"] = 1
        return NMSPostprocessor(nms_thresh=test["nms"]["iou_threshold"], **options)


def rows_of(maps: list[Tensor], num_outputs: int) -> Tensor:
    """Return ``(B, A * K, H, W)`` maps of all levels as ``(B, N, K)``."""
    return torch.cat(
        [m.permute(0, 2, 3, 1).reshape(m.shape[0], -1, num_outputs) for m in maps], dim=1
    )


def correlation(variant: str) -> CorrelationLoss:
    """Return the loss of a variant such as ``spearman_single_w0.1_reg0.01``."""
    found = re.fullmatch(r"([a-z]+)(?:_(all|single))?_w([\d.]+)(?:_reg([\d.]+))?", variant)
    assert found, variant
    strength = {"regularization_strength": float(found[4])} if found[4] else {}
    return CorrelationLoss(
        found[1],
        weight=float(found[3]),
        group_by={None: "batch", "all": "batch", "single": "level"}[found[2]],
        **strength,
    )


@functools.cache
def load_dense(name: str) -> DenseFixture:
    """Return the fixture of a folder; ``*_noaux`` shares weights and outputs with its base."""
    root = fixtures_root()
    shared = root / name.removesuffix("_noaux")
    config = json.loads((root / name / "config.json").read_text())
    detector, assigner, criterion = _build(config)
    weights = load_file(shared / "weights.safetensors")
    detector.load_state_dict(from_toolbox_names(weights, detector.toolbox_names), strict=True)
    return DenseFixture(
        folder=root / name,
        config=config,
        losses=json.loads((root / name / "losses.json").read_text()),
        outputs=load_arrays(shared / "outputs.npz"),
        assignment=load_arrays(shared / "assignment.npz"),
        batch=load_batch(root, config["input"]["valid"]),
        detector=detector.eval(),
        assigner=assigner,
        criterion=criterion,
    )


def _build(config: dict[str, Any]) -> tuple[DenseDetector, Assigner, DenseCriterion]:
    kind = config["detector"].removesuffix("_noaux")
    head, train = config["head"], config["train"]
    backbone, fpn = config["backbone"], config["fpn"]
    common: dict[str, Any] = {
        "backbone": build_backbone(backbone),
        "neck": functools.partial(
            FPN,
            out_channels=fpn["out_channels"],
            num_levels=fpn["num_outs"],
            start_level=fpn["start_level"],
            extra_levels=fpn["add_extra_convs"],
        ),
        "num_classes": head["num_classes"],
        "num_convs": head["stacked_convs"],
    }
    focal = FocalClassification(
        head["loss_cls"]["alpha"], head["loss_cls"]["gamma"], head["loss_cls"]["loss_weight"]
    )
    box_weight = head["loss_bbox"]["loss_weight"]
    if kind == "foveabox":
        fovea = FoveaBox(**common, strides=head["strides"], base_edges=head["base_edge_list"])
        return (
            fovea,
            FoveaBoxAssigner(head["strides"], head["scale_ranges"], head["sigma"]),
            DenseCriterion(
                focal,
                SmoothL1BoxLoss(fovea.coder, head["loss_bbox"]["beta"]),
                box_weight=box_weight,
                counting="added",
                normalizer="local",
            ),
        )
    anchors = head["anchor_generator"]
    common |= {
        "strides": anchors["strides"],
        "anchor_scale": anchors["octave_base_scale"],
        "delta_stds": head["bbox_coder"]["target_stds"],
    }
    if kind == "retinanet":
        retina = RetinaNet(
            **common, scales_per_octave=anchors["scales_per_octave"], ratios=anchors["ratios"]
        )
        return (
            retina,
            MaxIoUAssigner(train["assigner"]["pos_iou_thr"], train["assigner"]["neg_iou_thr"]),
            DenseCriterion(
                focal,
                SmoothL1BoxLoss(retina.coder, beta=0),
                box_weight=box_weight,
                normalizer="local",
            ),
        )
    quality_weight = head["loss_centerness"]["loss_weight"]
    quality = "iou" if kind == "paa" else "centerness"
    aux_head: Any = quality if quality_weight > 0 else "untrained"
    options: dict[str, Any] = {
        "box_weight": box_weight,
        "box_weighting": quality,
        "quality": quality,
        "quality_weight": quality_weight or 1.0,
        "aux_head": aux_head,
    }
    if kind == "atss":
        return (
            ATSS(**common, aux_head=aux_head, scales_per_octave=anchors["scales_per_octave"]),
            ATSSAssigner(topk=train["assigner"]["topk"]),
            DenseCriterion(focal, GIoUBoxLoss(), **options),
        )
    assert kind == "paa", kind
    return (
        PAA(**common, aux_head=aux_head),
        PAAAssigner(
            train["assigner"]["pos_iou_thr"],
            head["topk"],
            cls_weight=head["loss_cls"]["loss_weight"],
            box_weight=box_weight,
            alpha=head["loss_cls"]["alpha"],
            gamma=head["loss_cls"]["gamma"],
        ),
        DenseCriterion(focal, GIoUBoxLoss(), counting="batch", normalizer="local", **options),
    )
