"""Deformable DETR (Zhu et al., 2021): queries that look at few points of several maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corrlight.arguments import check_at_least
from corrlight.backbones import LevelProjection, ResNet
from corrlight.boxes import cxcywh_to_xyxy
from corrlight.detectors.base import Detector
from corrlight.detectors.deformable.attention import MultiScaleAttention
from corrlight.detectors.deformable.layout import LevelLayout
from corrlight.detectors.deformable.proposals import EncoderProposals
from corrlight.detectors.deformable.transformer import (
    DeformableDecoderLayer,
    DeformableEncoderLayer,
)
from corrlight.detectors.toolbox_names import NameTable
from corrlight.detectors.transformer import box_branch
from corrlight.modes.tracing import tensor_of_sizes
from corrlight.ops.linear import Linear
from corrlight.structures import Activation, Batch, Predictions

__all__ = ["DeformableDETR"]

# Score of every class at the start, edges of the boxes (0.12 of the image; their logit), and how
# near references may come to the image's border where their logit is asked for.
_PRIOR_SCORE = 0.01
_PRIOR_EDGE = -2.0
_BORDER = 1e-5


class DeformableDETR(Detector):
    """Backbone, levels of one width, an encoder and a decoder with deformable attention.

    Every decoder layer is a stage, and so are the encoder's proposals, the first of them, with
    ``two_stage``; inference uses the last.

    Args:
        backbone: Images to maps.
        neck: Called with the backbone's channels; levels of one width.
        num_classes: Foreground classes C.
        num_queries: Hypotheses N of an image; with ``two_stage`` no more than tokens.
        num_heads: Heads of every attention.
        num_points: Points of a level that a head looks at.
        feedforward_channels: Width of the feed-forward networks.
        num_encoder_layers: Layers of the encoder.
        num_decoder_layers: Layers of the decoder.
        dropout: Share of zeroed attention weights and activations in training.
        box_refinement: Every layer moves the box of the one before (without gradient to it) by a
            branch of its own, instead of making its box from the query's point by one that all
            share (Sec. 4.3).
        two_stage: Queries are the encoder's best proposals instead of learned ones (Sec. 4.3).

    Raises:
        ValueError: A number is out of range.
    """

    activation: ClassVar[Activation] = "sigmoid"

    # Names in the toolbox's checkpoints (3.x) and ours.
    toolbox_names: ClassVar[NameTable] = (
        ("backbone.{p}", "backbone.{p}"),
        ("neck.convs.{i}.conv.{p}", "neck.project.{i}.0.{p}"),
        ("neck.convs.{i}.gn.{p}", "neck.project.{i}.1.{p}"),
        ("neck.extra_convs.{i}.conv.{p}", "neck.extra.{i}.0.{p}"),
        ("neck.extra_convs.{i}.gn.{p}", "neck.extra.{i}.1.{p}"),
        ("level_embed", "level_embedding"),
        ("query_embedding.weight", "queries"),
        ("reference_points_fc.{p}", "reference_points.{p}"),
        ("memory_trans_fc.{p}", "proposals.project.{p}"),
        ("memory_trans_norm.{p}", "proposals.norm.{p}"),
        ("pos_trans_fc.{p}", "proposals.embed.{p}"),
        ("pos_trans_norm.{p}", "proposals.embed_norm.{p}"),
        *(
            (
                f"{coder}.layers.{{i}}.{attention}.{theirs}.{{p}}",
                f"{coder}.{{i}}.{own}.{ours}.{{p}}",
            )
            for coder, attention, own in (
                ("encoder", "self_attn", "attention"),
                ("decoder", "cross_attn", "cross_attention"),
            )
            for theirs, ours in (
                ("sampling_offsets", "sampling_points"),
                ("attention_weights", "weights"),
                ("value_proj", "values"),
                ("output_proj", "project"),
            )
        ),
        *(
            (f"{coder}.layers.{{i}}.{theirs}.{{p}}", f"{coder}.{{i}}.{ours}.{{p}}")
            for coder, theirs, ours in (
                ("decoder", "self_attn.attn", "attention"),
                ("{encoder|decoder}", "ffn.layers.0.0", "feedforward.0"),
                ("{encoder|decoder}", "ffn.layers.1", "feedforward.3"),
                ("{encoder|decoder}", "norms.0", "attention_norm"),
                ("encoder", "norms.1", "feedforward_norm"),
                ("decoder", "norms.1", "cross_attention_norm"),
                ("decoder", "norms.2", "feedforward_norm"),
            )
        ),
        ("bbox_head.{cls|reg}_branches.{i}.{p}", "{cls|reg}.{i}.{p}"),
    )

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], LevelProjection],
        num_classes: int,
        num_queries: int = 300,
        num_heads: int = 8,
        num_points: int = 4,
        feedforward_channels: int = 1024,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dropout: float = 0.1,
        box_refinement: bool = False,
        two_stage: bool = False,
    ) -> None:
        super().__init__()
        check_at_least(
            1,
            num_classes=num_classes,
            num_queries=num_queries,
            num_heads=num_heads,
            num_points=num_points,
            feedforward_channels=feedforward_channels,
            num_decoder_layers=num_decoder_layers,
        )
        check_at_least(0, num_encoder_layers=num_encoder_layers)
        if not 0 <= dropout < 1:
            raise ValueError(f"Expected `dropout` to be in [0, 1), but got {dropout}.")
        self.num_classes, self.num_queries = num_classes, num_queries
        self.box_refinement = box_refinement
        self.backbone = backbone
        self.neck = neck(backbone.out_channels)
        channels, num_levels = self.neck.out_channels, self.neck.num_levels
        if channels % 4 or channels % num_heads:
            raise ValueError(
                f"Expected the neck's `out_channels` to be a multiple of 4 and of the {num_heads} "
                f"heads, but got {channels}."
            )
        sizes = (channels, num_heads, num_levels, num_points, feedforward_channels, dropout)
        self.encoder = nn.ModuleList(
            DeformableEncoderLayer(*sizes) for _ in range(num_encoder_layers)
        )
        self.decoder = nn.ModuleList(
            DeformableDecoderLayer(*sizes) for _ in range(num_decoder_layers)
        )
        for part in (self.encoder, self.decoder):
            for parameter in part.parameters():
                if parameter.ndim > 1:
                    nn.init.xavier_uniform_(parameter)
            for attention in part.modules():
                if isinstance(attention, MultiScaleAttention):
                    attention.reset_parameters()
        self.level_embedding = nn.Parameter(torch.randn(num_levels, channels))
        self.proposals: EncoderProposals | None = None
        if two_stage:
            self.proposals = EncoderProposals(channels)
        else:
            # Positions, then contents.
            self.queries = nn.Parameter(torch.randn(num_queries, 2 * channels))
            self.reference_points = Linear(channels, 2)
            nn.init.xavier_uniform_(self.reference_points.weight)
            nn.init.zeros_(self.reference_points.bias)
        self._build_branches(channels, num_decoder_layers + two_stage)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _build_branches(self, channels: int, count: int) -> None:
        """Make classifier and box regression of every stage; the proposals' are the last."""
        shared = not self.box_refinement
        own = 1 if shared else count
        cls = [Linear(channels, self.num_classes) for _ in range(own)]
        reg = [box_branch(channels) for _ in range(own)]
        for linear in cls:
            nn.init.constant_(linear.bias, math.log(_PRIOR_SCORE / (1 - _PRIOR_SCORE)))
        for i, branch in enumerate(reg):
            last = branch[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            if i == 0 and self.proposals is None:
                # Where later layers move boxes, the first makes them.
                nn.init.constant_(last.bias[2:], _PRIOR_EDGE)
        self.cls = nn.ModuleList(cls * (count if shared else 1))
        self.reg = nn.ModuleList(reg * (count if shared else 1))
        if self.proposals is not None and not shared:
            self.any_object_rows = (f"cls.{count - 1}.",)

    def forward(self, batch: Batch) -> list[Predictions]:
        """Return the predictions of the proposals, where there are some, and of every layer."""
        levels = self.neck(self.backbone(batch.images))
        layout = LevelLayout.of(levels, batch)
        tokens = torch.cat([m.permute(0, 2, 3, 1).flatten(1, 2) for m in levels], 1)
        positions = layout.encodings(self.level_embedding).to(tokens.dtype)
        shares = layout.shares()
        middles = layout.middles()[:, :, None] * shares[:, None]  # (B, T, L, 2)
        for layer in self.encoder:
            tokens = layer(tokens, positions, middles, layout)
        rows = [(w, h, w, h) for h, w in batch.valid_sizes]
        image_sizes = tensor_of_sizes(rows, tokens.device, torch.float32)[:, None]
        stages = []
        if self.proposals is None:
            queries = self.queries.expand(tokens.shape[0], -1, -1)
            embedding, contents = queries.split(tokens.shape[2], 2)
            references = self.reference_points(embedding).float().sigmoid()
        else:
            found = self.proposals(tokens, layout, self.cls[-1], self.reg[-1], self.num_queries)
            boxes = found.boxes * image_sizes
            stages.append(self._stage(found.logits, boxes, layout.level_idx(), any_object=True))
            embedding, contents, references = found.positions, found.contents, found.references
        level_idx = torch.zeros(contents.shape[1], dtype=torch.long, device=tokens.device)
        for layer, cls, reg in zip(self.decoder, self.cls, self.reg, strict=False):
            own = shares.repeat(1, 1, references.shape[-1] // 2)
            seen_from = references[:, :, None] * own[:, None]  # (B, N, L, 2 or 4)
            contents = layer(contents, embedding, tokens, seen_from, layout)
            start = references.logit(eps=_BORDER)
            encoded = reg(contents).float() + F.pad(start, (0, 4 - start.shape[-1]))
            boxes = encoded.sigmoid()
            stages.append(self._stage(cls(contents), boxes * image_sizes, level_idx))
            if self.box_refinement:
                references = boxes.detach()
        return stages

    def _stage(
        self, logits: Tensor, boxes: Tensor, level_idx: Tensor, *, any_object: bool = False
    ) -> Predictions:
        """Return a stage of ``(B, N, 4)`` boxes as centre, width and height in pixels."""
        return Predictions(
            logits=logits,
            boxes=cxcywh_to_xyxy(boxes),
            level_idx=level_idx,
            activation=self.activation,
            valid=torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device),
            any_object=any_object,
        )
