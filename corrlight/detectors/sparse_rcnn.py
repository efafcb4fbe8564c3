"""Sparse R-CNN (Sun et al., 2021): a set of learned proposals, refined in stages, without NMS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from corrlight.arguments import check_at_least
from corrlight.backbones import FPN, ResNet
from corrlight.boxes import DeltaCoder, cxcywh_to_xyxy
from corrlight.detectors.base import Detector
from corrlight.detectors.dynamic_head import DynamicHead
from corrlight.detectors.toolbox_names import NameTable
from corrlight.modes.tracing import tensor_of_sizes
from corrlight.ops.roi_align import FeatureTable, roi_align
from corrlight.structures import Activation, Batch, Predictions

__all__ = ["SparseRCNN"]


class SparseRCNN(Detector):
    """Backbone, FPN, learned proposals and a cascade of dynamic heads.

    Every stage reads the features inside the boxes of the stage before, without gradient to them,
    and yields its own predictions. Boxes are not clipped to the image.

    Args:
        backbone: Images to maps.
        neck: Called with the backbone's channels; a pyramid with ``strides`` levels.
        num_classes: Foreground classes C.
        num_proposals: Hypotheses N of an image.
        num_stages: Heads in the cascade.
        strides: Input pixels a cell of each pyramid level.
        num_heads: Heads of the self-attention among proposals.
        feedforward_channels: Width of the feed-forward network.
        dynamic_channels: Width of the dynamic convolution.
        region_size: Cells a side of a region.
        finest_scale: Boxes up to twice this size are read from the finest level.
        stds: Divisors of the box deltas.

    Raises:
        ValueError: A number is out of range.
    """

    activation: ClassVar[Activation] = "sigmoid"

    # Names in the toolbox's checkpoints and ours.
    toolbox_names: ClassVar[NameTable] = (
        ("backbone.{p}", "backbone.{p}"),
        ("neck.lateral_convs.{i}.conv.{p}", "neck.lateral.{i}.{p}"),
        ("neck.fpn_convs.{i}.conv.{p}", "neck.output.{i}.{p}"),
        ("rpn_head.init_proposal_bboxes.weight", "proposal_boxes"),
        ("rpn_head.init_proposal_features.weight", "proposal_features"),
        *(
            (f"roi_head.bbox_head.{{i}}.{theirs}.{{p}}", f"heads.{{i}}.{ours}.{{p}}")
            for theirs, ours in (
                ("attention.attn", "attention"),
                ("attention_norm", "attention_norm"),
                ("instance_interactive_conv.dynamic_layer", "dynamic_conv.generator"),
                ("instance_interactive_conv.fc_layer", "dynamic_conv.project"),
                ("instance_interactive_conv.fc_norm", "dynamic_conv.norm"),
                ("instance_interactive_conv.norm_in", "dynamic_conv.norm_in"),
                ("instance_interactive_conv.norm_out", "dynamic_conv.norm_out"),
                ("instance_interactive_conv_norm", "dynamic_norm"),
                ("ffn.layers.0.0", "feedforward.0"),
                ("ffn.layers.1", "feedforward.2"),
                ("ffn_norm", "feedforward_norm"),
                ("cls_fcs", "cls_tower"),
                ("reg_fcs", "reg_tower"),
                ("fc_cls", "cls"),
                ("fc_reg", "reg"),
            )
        ),
    )

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], FPN],
        num_classes: int,
        num_proposals: int = 100,
        num_stages: int = 6,
        strides: Sequence[int] = (4, 8, 16, 32),
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        dynamic_channels: int = 64,
        region_size: int = 7,
        finest_scale: float = 56.0,
        stds: Sequence[float] = (0.5, 0.5, 1.0, 1.0),
    ) -> None:
        super().__init__()
        check_at_least(
            1,
            num_classes=num_classes,
            num_proposals=num_proposals,
            num_stages=num_stages,
            region_size=region_size,
            finest_scale=finest_scale,
        )
        if len(stds) != 4 or min(stds) <= 0:
            raise ValueError(f"Expected `stds` to be four positive numbers, but got {list(stds)}.")
        self.num_classes = num_classes
        self.strides, self.region_size = tuple(strides), region_size
        self.finest_scale = finest_scale
        self.coder = DeltaCoder(stds=(stds[0], stds[1], stds[2], stds[3]))
        self.backbone = backbone
        self.neck = neck(backbone.out_channels)
        channels = self.neck.out_channels
        if len(strides) != self.neck.num_levels:
            raise ValueError(
                f"Expected `strides` to have {self.neck.num_levels} entries, one a level of the "
                f"neck, but got {len(strides)}."
            )
        if channels % num_heads:
            raise ValueError(
                f"Expected `num_heads` to divide the {channels} channels, but got {num_heads}."
            )
        # cxcywh as fractions of the image: every proposal starts as the whole image.
        self.proposal_boxes = nn.Parameter(torch.tensor([0.5, 0.5, 1, 1]).repeat(num_proposals, 1))
        self.proposal_features = nn.Parameter(torch.randn(num_proposals, channels))
        self.heads = nn.ModuleList(
            DynamicHead(
                channels=channels,
                num_classes=num_classes,
                num_heads=num_heads,
                feedforward_channels=feedforward_channels,
                dynamic_channels=dynamic_channels,
                num_cells=region_size**2,
            )
            for _ in range(num_stages)
        )

    def initial_boxes(self, batch: Batch) -> Tensor:
        """Return the learned proposals ``(B, N, 4)`` as xyxy pixels of each image's content."""
        rows = [(w, h, w, h) for h, w in batch.valid_sizes]
        sizes = tensor_of_sizes(rows, self.proposal_boxes.device, self.proposal_boxes.dtype)
        boxes = cxcywh_to_xyxy(self.proposal_boxes.float()) * sizes[:, None]
        return boxes.expand(batch.images.shape[0], -1, -1)

    def forward(self, batch: Batch) -> list[Predictions]:
        """Return the predictions of every stage."""
        levels = self.neck(self.backbone(batch.images))
        table = FeatureTable.from_levels(levels, self.strides)
        boxes = self.initial_boxes(batch)  # (B, N, 4)
        features = self.proposal_features.expand(boxes.shape[0], -1, -1)
        level_idx = torch.zeros(boxes.shape[1], dtype=torch.long, device=boxes.device)
        valid = torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
        stages = []
        for head in self.heads:
            regions = roi_align(table, boxes, self.region_size, finest_scale=self.finest_scale)
            logits, deltas, features = head(features, regions)
            decoded = self.coder.decode(boxes, deltas)
            stages.append(
                Predictions(
                    logits=logits,
                    boxes=decoded,
                    level_idx=level_idx,
                    activation=self.activation,
                    valid=valid,
                )
            )
            boxes = decoded.detach()
        return stages
