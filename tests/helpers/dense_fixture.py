"""The reduced dense detectors of the published implementation, and our parts of them."""

from __future__ import annotations

import functools
import re
from typing import Any

import torch
from torch import Tensor

from corrlight.assigners import ATSSAssigner, FoveaBoxAssigner, MaxIoUAssigner, PAAAssigner
from corrlight.assigners.base import Assigner
from corrlight.criteria import (
    DenseCriterion,
    FocalClassification,
    GIoUBoxLoss,
    SmoothL1BoxLoss,
)
from corrlight.detectors import ATSS, PAA, FoveaBox, RetinaNet
from corrlight.losses import CorrelationLoss
from corrlight.postprocess import NMSPostprocessor
from corrlight.structures import Positives, Predictions, Targets
from tests.helpers.published_model import PublishedModel

FOLDERS = "retinanet foveabox atss atss_noaux paa paa_noaux"


class PublishedDense(PublishedModel):
    """One of them and our other parts."""

    @functools.cached_property
    def assigner(self) -> Assigner:
        """The assigner of the configuration."""
        head, train = self.config["head"], self.config["train"]
        if isinstance(self.detector, FoveaBox):
            return FoveaBoxAssigner(head["strides"], head["scale_ranges"], head["sigma"])
        own = train["assigner"]
        if isinstance(self.detector, RetinaNet):
            return MaxIoUAssigner(own["pos_iou_thr"], own["neg_iou_thr"])
        if isinstance(self.detector, ATSS):
            return ATSSAssigner(topk=own["topk"])
        assert isinstance(self.detector, PAA)
        return PAAAssigner(
            own["pos_iou_thr"],
            head["topk"],
            cls_weight=head["loss_cls"]["loss_weight"],
            box_weight=head["loss_bbox"]["loss_weight"],
            alpha=head["loss_cls"]["alpha"],
            gamma=head["loss_cls"]["gamma"],
        )

    @functools.cached_property
    def criterion(self) -> DenseCriterion:
        """The criterion of the configuration."""
        detector, head = self.detector, self.config["head"]
        cls, box = head["loss_cls"], head["loss_bbox"]
        focal = FocalClassification(cls["alpha"], cls["gamma"], cls["loss_weight"])
        options: dict[str, Any] = {"box_weight": box["loss_weight"]}
        if isinstance(detector, FoveaBox):
            smooth = SmoothL1BoxLoss(detector.coder, box["beta"])
            return DenseCriterion(focal, smooth, counting="added", normalizer="local", **options)
        if isinstance(detector, RetinaNet):
            plain = SmoothL1BoxLoss(detector.coder, beta=0)
            return DenseCriterion(focal, plain, normalizer="local", **options)
        options |= {
            "box_weighting": detector.quality_branch,
            "quality": detector.quality_branch,
            "quality_weight": head["loss_centerness"]["loss_weight"] or 1.0,
            "aux_head": detector.aux_head,
        }
        if isinstance(detector, PAA):
            options |= {"counting": "batch", "normalizer": "local"}
        return DenseCriterion(focal, GIoUBoxLoss(), **options)

    def predict(self) -> Predictions:
        """Return fresh predictions with a graph."""
        return self.detector(self.batch)[0]

    @functools.cached_property
    def predicted(self) -> Predictions:
        """The same without a graph, made once."""
        with torch.no_grad():
            return self.predict()

    def rows(self, name: str, num_outputs: int) -> Tensor:
        """Return a stored raw output of all levels as ``(B, N, num_outputs)``."""
        maps = [self.outputs[key] for key in sorted(self.outputs) if key.startswith(f"{name}_")]
        return rows_of(maps, num_outputs)

    def terms(
        self, targets: tuple[Targets, ...], variant: str, *, graph: bool = False
    ) -> dict[str, Tensor]:
        """Return our loss terms by name, with the correlation of a variant."""
        predictions = self.predict() if graph else self.predicted
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


def load_dense(name: str) -> PublishedDense:
    """Return the fixture of a folder."""
    return PublishedDense.load(name)
