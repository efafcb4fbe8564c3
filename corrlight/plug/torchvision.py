"""Detectors of torchvision: FCOS, RetinaNet, SSD, and Faster R-CNN with its kin.

The dense ones compute their losses in ``compute_loss``, which gets the matched ground truth of
every anchor. Faster R-CNN samples proposals in ``select_training_samples`` and scores them with its
box predictor. In evaluation mode, a detector that is given targets is matched as in training, for
beta_img alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou

from corrlight.plug.handle import Correlation, second
from corrlight.plug.options import Options
from corrlight.plug.override import Override
from corrlight.plug.positives import check_labels, image_ids, make_positives, scores_of
from corrlight.structures import Activation, Positives

__all__ = ["attach", "dense_losses", "find"]

Targets = Sequence[Mapping[str, Any]]

_COUNTED = "`num_classes` counts the background, 0"


def attach(model: nn.Module, handle: Correlation, options: Options) -> DenseSeam | RoiSeam:
    """Put the loss into a detector; see :func:`corrlight.plug.correlate`."""
    if isinstance(model, FCOS | RetinaNet | SSD):
        return DenseSeam(model, handle, options)
    if isinstance(model, GeneralizedRCNN):
        return RoiSeam(model, handle, options)
    raise ValueError(
        "Expected `model` to be one of torchvision's detectors (FCOS, RetinaNet, SSD, Faster, Mask "
        f"or Keypoint R-CNN), but got a {type(model).__name__}."
    )


def find(model: nn.Module) -> Correlation | None:
    """Return the handle of the loss in a detector, None without one."""
    dense = model if isinstance(model, SSD) else getattr(model, "head", None)
    for owner, name in (
        (dense, "compute_loss"),
        (getattr(model, "roi_heads", None), "select_training_samples"),
    ):
        seam = None if owner is None else _seam_in(owner, name)
        if seam is not None:
            return seam.handle
    return None


def _seam_in(owner: object, name: str) -> DenseSeam | RoiSeam | None:
    seam = getattr(vars(owner).get(name), "__self__", None)
    return seam if isinstance(seam, DenseSeam | RoiSeam) else None


def _check_seam(owner: object, name: str, parameters: set[str], handle: Correlation) -> None:
    """Check that a method is there, takes what it is expected to, and has no loss of ours yet."""
    if _seam_in(owner, name) is not None:
        raise second()
    method = getattr(owner, name, None)
    found = set(inspect.signature(method).parameters) if callable(method) else set()
    if not parameters <= found:
        raise ValueError(
            f"Expected `{type(owner).__name__}.{name}` of {handle.library} to take "
            f"{', '.join(sorted(parameters))}, but it takes {', '.join(sorted(found)) or 'nothing'}"
            ": corrlight does not know this version."
        )


class DenseSeam:
    """Correlation Loss in ``compute_loss`` of a dense detector.

    Args:
        model: The detector.
        handle: What the user holds.
        options: Of them ``scores``, for FCOS.
    """

    def __init__(
        self, model: FCOS | RetinaNet | SSD, handle: Correlation, options: Options
    ) -> None:
        name = type(model).__name__
        options.check(name, scores=isinstance(model, FCOS))
        self.model, self.handle = model, handle
        self.ranking = options.scores == "ranking"
        self.activation: Activation = "softmax" if isinstance(model, SSD) else "sigmoid"
        owner = model if isinstance(model, SSD) else model.head
        parameters = {"targets", "head_outputs", "anchors", "matched_idxs"}
        _check_seam(owner, "compute_loss", parameters, handle)
        self._kept: dict[str, Any] = {}
        self._override = Override(owner, "compute_loss", self.compute_loss)
        self._hooks = [
            model.head.register_forward_hook(self._keep_head),
            model.transform.register_forward_hook(self._keep_targets),
            model.anchor_generator.register_forward_hook(self._keep_anchors),
            model.register_forward_hook(self._validate),
        ]

    def set_weight(self, weight: float) -> None:
        """Nothing to do: it is read at every step."""

    def remove(self) -> None:
        """Leave the detector as it was."""
        self._override.remove()
        for hook in self._hooks:
            hook.remove()

    def compute_loss(
        self,
        targets: Targets,
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> dict[str, Tensor]:
        """Return the detector's losses and ``correlation``."""
        logits = head_outputs["cls_logits"]
        low = 1 if self.activation == "softmax" else 0
        num_objects = check_labels(targets, "labels", low, logits.shape[-1], _COUNTED)
        losses = self._override.original(targets, head_outputs, anchors, matched_idxs)
        positives = self._positives(targets, head_outputs, anchors, torch.stack(matched_idxs))
        value = self.handle.step(
            [positives], positives, image_ids(targets), num_objects, self.model.training
        )
        if self.model.training:
            self._kept.clear()
        return {**losses, "correlation": self.handle.weight * value}

    def _positives(
        self,
        targets: Targets,
        outputs: Mapping[str, Tensor],
        anchors: Sequence[Tensor],
        matched: Tensor,
    ) -> Positives:
        image_idx, pred_idx = (matched >= 0).nonzero(as_tuple=True)
        gt_idx = matched[image_idx, pred_idx]
        counts = torch.tensor([len(t["labels"]) for t in targets], device=gt_idx.device)
        flat = gt_idx + (counts.cumsum(0) - counts)[image_idx]
        labels = torch.cat([t["labels"] for t in targets])[flat]
        scores = scores_of(outputs["cls_logits"][image_idx, pred_idx], labels, self.activation)
        if self.ranking:
            centerness = outputs["bbox_ctrness"][image_idx, pred_idx, 0].float().sigmoid()
            scores = (scores * centerness).sqrt()
        priors = torch.cat(
            [a[pred_idx[image_idx == k]] for k, a in enumerate(anchors)]
        )  # in the order of the positives, which is by image
        codes = outputs["bbox_regression"][image_idx, pred_idx].float()
        coder = self.model.box_coder
        # FCOS' coder takes boxes in a row like codes; the others have a function for that.
        decode = coder.decode if isinstance(self.model, FCOS) else coder.decode_single
        return make_positives(
            scores=scores,
            pred_boxes=decode(codes, priors),
            gt_boxes=torch.cat([t["boxes"] for t in targets])[flat],
            labels=labels,
            image_idx=image_idx,
            pred_idx=pred_idx,
            gt_idx=gt_idx,
            level_idx=self._levels(pred_idx),
        )

    def _levels(self, pred_idx: Tensor) -> Tensor | None:
        if self.handle.loss.group_by != "level":
            return None
        per_location = self.model.anchor_generator.num_anchors_per_location()
        sizes = [n * a for n, a in zip(self._kept["locations"], per_location, strict=True)]
        ends = torch.tensor(sizes, device=pred_idx.device).cumsum(0)
        return torch.bucketize(pred_idx, ends, right=True)

    def _keep_head(self, head: nn.Module, args: tuple[Any, ...], outputs: Any) -> None:
        self._kept["locations"] = [f.shape[-2] * f.shape[-1] for f in args[0]]
        if not self.model.training:
            self._kept["outputs"] = outputs

    def _keep_targets(self, transform: nn.Module, args: tuple[Any, ...], outputs: Any) -> None:
        if not self.model.training:
            self._kept["targets"] = outputs[1]

    def _keep_anchors(self, generator: nn.Module, args: tuple[Any, ...], anchors: Any) -> None:
        if not self.model.training:
            self._kept["anchors"] = anchors

    def _validate(self, model: nn.Module, args: tuple[Any, ...], outputs: Any) -> None:
        """Measure the positives of a batch in evaluation mode that came with its targets."""
        kept, self._kept = self._kept, {}
        if self.model.training or kept.get("targets") is None:
            return
        self._kept = {"locations": kept["locations"]}
        outputs, targets, anchors = kept["outputs"], kept["targets"], kept["anchors"]
        with torch.no_grad():
            dense_losses(self.model, targets, outputs, anchors, kept["locations"])
        self._kept = {}


def dense_losses(
    model: FCOS | RetinaNet | SSD,
    targets: list[dict[str, Tensor]],
    outputs: dict[str, Tensor],
    anchors: list[Tensor],
    locations: list[int],
) -> dict[str, Tensor]:
    """Return the losses of a dense detector as its own forward pass computes them in training.

    Args:
        model: The detector.
        targets: Boxes and labels of every image, as torchvision has them.
        outputs: Of the model's head.
        anchors: ``(N, 4)`` of every image.
        locations: Places of every level.
    """
    if isinstance(model, FCOS):
        # One anchor a location.
        return dict(model.compute_loss(targets, outputs, anchors, locations))
    if isinstance(model, RetinaNet):
        return dict(model.compute_loss(targets, outputs, anchors))
    matched = [
        model.proposal_matcher(box_iou(t["boxes"], a))
        if len(t["boxes"])
        else torch.full((len(a),), -1, device=a.device)
        for t, a in zip(targets, anchors, strict=True)
    ]
    return dict(model.compute_loss(targets, outputs, anchors, matched))


class RoiSeam:
    """Correlation Loss in the second stage of Faster R-CNN and its kin.

    Args:
        model: The detector.
        handle: What the user holds.
        options: None of them is known here.
    """

    def __init__(self, model: GeneralizedRCNN, handle: Correlation, options: Options) -> None:
        options.check(type(model).__name__)
        heads = model.roi_heads
        self.model, self.handle = heads, handle
        _check_seam(heads, "select_training_samples", {"proposals", "targets"}, handle)
        _check_seam(
            heads, "assign_targets_to_proposals", {"proposals", "gt_boxes", "gt_labels"}, handle
        )
        _check_seam(heads, "forward", {"proposals", "targets"}, handle)
        self._kept: dict[str, Any] = {}
        self._override = Override(heads, "select_training_samples", self.select_training_samples)
        self._hooks = [
            heads.box_predictor.register_forward_hook(self._keep_outputs),
            heads.register_forward_hook(self._add, with_kwargs=True),
        ]

    def set_weight(self, weight: float) -> None:
        """Nothing to do: it is read at every step."""

    def remove(self) -> None:
        """Leave the detector as it was."""
        self._override.remove()
        for hook in self._hooks:
            hook.remove()

    def select_training_samples(self, proposals: list[Tensor], targets: Targets) -> Any:
        """Return what the detector samples, and keep it."""
        found = self._override.original(proposals, targets)
        self._kept = {"targets": targets, "samples": found[:3]}
        return found

    def _keep_outputs(self, predictor: nn.Module, args: tuple[Any, ...], outputs: Any) -> None:
        self._kept["outputs"] = outputs
        if "targets" in self._kept:
            # Before the losses, which would report an index.
            check_labels(self._kept["targets"], "labels", 1, outputs[0].shape[1], _COUNTED)

    def _add(self, heads: nn.Module, args: tuple[Any, ...], kwargs: Any, output: Any) -> Any:
        """Add the loss to those of the second stage, or measure a validation batch."""
        kept, self._kept = self._kept, {}
        arguments = inspect.signature(self.model.forward).bind(*args, **kwargs).arguments
        targets = arguments.get("targets")
        if targets is None:
            return None
        training = self.model.training
        if training:
            proposals, matched, labels = kept["samples"]
        else:
            check_labels(targets, "labels", 1, kept["outputs"][0].shape[1], _COUNTED)
            proposals = arguments["proposals"]
            boxes, classes = ([t[key] for t in targets] for key in ("boxes", "labels"))
            # All proposals: what is sampled in training is sampled to balance its losses.
            matched, labels = self.model.assign_targets_to_proposals(proposals, boxes, classes)
        positives = self._positives(targets, proposals, matched, labels, kept["outputs"])
        num_objects = sum(len(t["labels"]) for t in targets)
        value = self.handle.step([positives], positives, image_ids(targets), num_objects, training)
        if not training:
            return None
        detections, losses = output
        return detections, {**losses, "loss_correlation": self.handle.weight * value}

    def _positives(
        self,
        targets: Targets,
        proposals: Sequence[Tensor],
        matched: Sequence[Tensor],
        labels: Sequence[Tensor],
        outputs: tuple[Tensor, Tensor],
    ) -> Positives:
        logits, codes = outputs
        # Background has an object of its own image too, number 0: labels tell.
        chosen = [(values > 0).nonzero().squeeze(1) for values in labels]
        counts = torch.tensor([len(c) for c in chosen], device=logits.device)
        lengths = torch.tensor([len(p) for p in proposals], device=logits.device)
        image_idx = torch.arange(len(chosen), device=logits.device).repeat_interleave(counts)
        pred_idx = torch.cat(chosen)
        rows = pred_idx + (lengths.cumsum(0) - lengths)[image_idx]
        kinds = torch.cat([values[c] for values, c in zip(labels, chosen, strict=True)])
        priors = [p[c] for p, c in zip(proposals, chosen, strict=True)]
        gt_idx = torch.cat([m[c] for m, c in zip(matched, chosen, strict=True)])
        objects = [t["boxes"] for t in targets]
        of_image = zip(objects, matched, chosen, strict=True)
        # A box of its own class in every row.
        own = codes[rows].unflatten(1, (-1, 4))[torch.arange(len(rows)), kinds].float()
        level_idx = None
        if self.handle.loss.group_by == "level" and self.model.box_roi_pool.map_levels is not None:
            level_idx = self.model.box_roi_pool.map_levels(priors)
        return make_positives(
            scores=scores_of(logits[rows], kinds, "softmax"),
            pred_boxes=self.model.box_coder.decode_single(own, torch.cat(priors)),
            gt_boxes=torch.cat([boxes[m[c]] for boxes, m, c in of_image]),
            labels=kinds,
            image_idx=image_idx,
            pred_idx=pred_idx,
            gt_idx=gt_idx,
            level_idx=level_idx,
        )
