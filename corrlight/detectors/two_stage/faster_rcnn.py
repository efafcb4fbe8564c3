"""Faster R-CNN (Ren et al., 2015) with a feature pyramid (Lin et al., 2017)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from corrlight.arguments import check_at_least, check_choice
from corrlight.backbones import FPN, ResNet
from corrlight.boxes import DeltaCoder
from corrlight.detectors.anchors import AnchorGrid
from corrlight.detectors.base import Detector
from corrlight.detectors.dense import PYRAMID_NAMES
from corrlight.detectors.toolbox_names import NameTable
from corrlight.detectors.two_stage.proposals import ProposalNetwork, ProposalSelection
from corrlight.detectors.two_stage.region_head import RegionHead
from corrlight.ops.roi_align import FeatureTable, roi_align
from corrlight.structures import (
    BACKGROUND,
    IGNORED,
    Activation,
    Batch,
    Match,
    PredictionField,
    Predictions,
    Targets,
)

__all__ = ["FasterRCNN"]


class FasterRCNN(Detector):
    """A stage that proposes boxes anywhere, and one that looks into each of them.

    Two things differ in training, as published: how many proposals there are, and that the objects'
    own boxes are among them. The assigner draws those that losses see; where it does so by their
    boxes alone, the last stage looks at no others.

    Attributes:
        draw: Returns what the assigner draws (:class:`~corrlight.detectors.base.LooksAtDrawn`).

    Args:
        backbone: Images to maps; has ``out_channels``.
        neck: ``out_channels`` of the backbone to a pyramid with one level a stride.
        num_classes: Foreground classes C.
        selection: How proposals are chosen.
        activation: How logits become scores; with "softmax" there is one more for background.
        strides: Pixels per cell, one a level.
        anchor_scale: Edge of the anchors in strides.
        ratios: Height over width of the anchors.
        proposal_stds: Divisors of the proposals' encoded boxes.
        delta_stds: Divisors of the last stage's encoded boxes.
        region_levels: Levels, from the finest, that regions are read from.
        region_size: Cells a side of a region.
        sampling_ratio: Samples a side in each cell; 0 as many as the cell covers of its level.
        finest_scale: Boxes up to twice this size are read from the finest level.
        hidden_channels: Width of the layers that look into a region.

    Raises:
        ValueError: An argument is out of range.
    """

    gives: ClassVar[tuple[PredictionField, ...]] = ("priors", "deltas", "class_boxes")
    rows_per_class: ClassVar[Mapping[str, int]] = {"head.regressor": 4}

    # Names in the toolbox's checkpoints and ours.
    toolbox_names: ClassVar[NameTable] = (
        *PYRAMID_NAMES,
        ("rpn_head.rpn_conv.{p}", "proposals.conv.{p}"),
        ("rpn_head.rpn_cls.{p}", "proposals.objectness.{p}"),
        ("rpn_head.rpn_reg.{p}", "proposals.regressor.{p}"),
        ("roi_head.bbox_head.shared_fcs.{i}.{p}", "head.layers.{i}.{p}"),
        ("roi_head.bbox_head.fc_cls.{p}", "head.classifier.{p}"),
        ("roi_head.bbox_head.fc_reg.{p}", "head.regressor.{p}"),
    )

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], FPN],
        num_classes: int,
        selection: ProposalSelection,
        activation: Activation = "softmax",
        strides: Sequence[int] = (4, 8, 16, 32, 64),
        anchor_scale: float = 8.0,
        ratios: Sequence[float] = (0.5, 1.0, 2.0),
        proposal_stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        delta_stds: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
        region_levels: int = 4,
        region_size: int = 7,
        sampling_ratio: int = 0,
        finest_scale: float = 56.0,
        hidden_channels: int = 1024,
    ) -> None:
        super().__init__()
        self.draw: Callable[[Predictions, Sequence[Targets]], Match | None] | None = None
        sizes = {"region_levels": region_levels, "region_size": region_size}
        check_at_least(1, num_classes=num_classes, hidden_channels=hidden_channels, **sizes)
        check_at_least(0, sampling_ratio=sampling_ratio)
        check_choice("activation", activation, ("softmax", "sigmoid"))
        self.num_classes, self.selection, self._activation = num_classes, selection, activation
        self.backbone, self.neck = backbone, neck(backbone.out_channels)
        if not region_levels <= self.neck.num_levels == len(strides):
            raise ValueError(
                f"Expected `strides` to have {self.neck.num_levels} entries, one a level of the "
                f"neck, and `region_levels` to be no more, but got {len(strides)} and "
                f"{region_levels}."
            )
        self.region_strides = tuple(strides[:region_levels])
        self.region_size, self.sampling_ratio = region_size, sampling_ratio
        self.finest_scale = finest_scale
        channels = self.neck.out_channels
        anchors = AnchorGrid.octaves(strides, anchor_scale, ratios=ratios)
        self.proposals = ProposalNetwork(channels, anchors, _coder(proposal_stds))
        self.coder = _coder(delta_stds)
        self.head = RegionHead(
            channels,
            region_size**2,
            hidden_channels,
            num_classes,
            num_classes + (activation == "softmax"),
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def activation(self) -> Activation:
        """Of the last stage; that of the proposals is always sigmoid."""
        return self._activation

    def forward(self, batch: Batch) -> list[Predictions]:
        """Return the predictions of both stages; N is the number of anchors, then of proposals."""
        levels = self.neck(self.backbone(batch.images))
        first = self.proposals(levels, batch)
        table = FeatureTable.from_levels(
            levels[: len(self.region_strides)],
            self.region_strides,
            adaptive=self.sampling_ratio == 0,
        )
        return [first, self._second_stage(table, batch, self._hypotheses(first, batch))]

    def _hypotheses(self, first: Predictions, batch: Batch) -> Predictions:
        """Return what the last stage looks at: predictions without scores, boxes their priors."""
        boxes, given = [], []
        for b, target in enumerate(batch.targets):
            found = self.selection(first, b, target.valid_size, training=self.training)
            objects = target.boxes if self.training else target.boxes[:0]
            boxes.append(torch.cat([objects.to(found), found]))
            own = torch.arange(len(objects), device=found.device)
            given.append(torch.cat([own, torch.full((len(found),), BACKGROUND, device=own.device)]))
        every = self._without_scores(boxes, given)
        match = self.draw(every, batch.targets) if self.training and self.draw else None
        if match is None or match.sampled is None:
            return every
        chosen = [drawn.nonzero().squeeze(1) for drawn in match.sampled]
        kept = self._without_scores(
            *(
                [rows[c] for rows, c in zip(values, chosen, strict=True)]
                for values in (boxes, given)
            )
        )
        of_chosen = [gt[c] for gt, c in zip(match.gt_idx, chosen, strict=True)]
        gt_idx = pad_sequence(of_chosen, batch_first=True, padding_value=IGNORED)
        return replace(kept, drawn=Match(gt_idx=gt_idx))

    def _without_scores(self, boxes: Sequence[Tensor], given: Sequence[Tensor]) -> Predictions:
        """Return the hypotheses of all images, padded."""
        valid = [torch.ones(len(b), dtype=torch.bool, device=b.device) for b in boxes]
        priors = pad_sequence([*boxes], batch_first=True)
        return Predictions(
            logits=priors[..., :0],
            boxes=priors,
            level_idx=torch.zeros(priors.shape[1], dtype=torch.long, device=priors.device),
            activation=self.activation,
            valid=pad_sequence(valid, batch_first=True),
            priors=priors,
            given=pad_sequence([*given], batch_first=True, padding_value=BACKGROUND),
        )

    def _second_stage(
        self, table: FeatureTable, batch: Batch, hypotheses: Predictions
    ) -> Predictions:
        """Return what there is in the boxes of hypotheses."""
        priors = hypotheses.boxes
        regions = roi_align(table, priors, self.region_size, self.sampling_ratio, self.finest_scale)
        logits, deltas = self.head(regions)
        class_boxes = self.coder.decode(priors[:, :, None], deltas)
        best = logits.detach()[..., : self.num_classes].argmax(-1)  # (B, N)
        best = best[..., None, None].expand(-1, -1, 1, 4)
        return replace(
            hypotheses,
            logits=logits,
            boxes=class_boxes.gather(2, best).squeeze(2),
            deltas=deltas,
            class_boxes=class_boxes,
            **self._more(table, batch),
        )

    def _more(self, table: FeatureTable, batch: Batch) -> dict[str, Any]:
        """Return further fields of the last stage's predictions."""
        return {}


def _coder(stds: Sequence[float]) -> DeltaCoder:
    """Return the encoding of boxes with four divisors."""
    if len(stds) != 4 or min(stds) <= 0:
        raise ValueError(f"Expected divisors of boxes to be four positive numbers, but got {stds}.")
    return DeltaCoder(stds=tuple(stds))  # type: ignore[arg-type]
