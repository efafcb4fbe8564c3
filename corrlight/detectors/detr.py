"""DETR (Carion et al., 2020): a set of learned queries, decoded at once, without NMS."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from corrlight.arguments import check_at_least
from corrlight.backbones import ResNet
from corrlight.boxes import cxcywh_to_xyxy
from corrlight.detectors.base import Detector
from corrlight.detectors.toolbox_names import NameTable
from corrlight.detectors.transformer import (
    DecoderLayer,
    EncoderLayer,
    box_branch,
    padded_cells,
    sine_encoding,
    valid_cells,
)
from corrlight.modes.tracing import tensor_of_sizes
from corrlight.ops.linear import Linear
from corrlight.ops.small_conv import SmallConv2d
from corrlight.structures import Activation, Batch, Predictions

__all__ = ["DETR"]

# Edge of the boxes that queries with references start from, as a share of the image.
_REFERENCE_EDGE = 0.25


class DETR(Detector):
    """Backbone, transformer encoder over its last map, transformer decoder of learned queries.

    Every decoder layer yields predictions of its own through the same normalisation, classifier
    and box regression (auxiliary decoding losses, Sec. 3.2); inference uses the last.

    Args:
        backbone: Images to maps; the last one is used.
        num_classes: Foreground classes C; the softmax has one more for background.
        num_queries: Hypotheses N of an image.
        channels: Channels of the transformer, a multiple of 4 and of ``num_heads``.
        num_heads: Heads of every attention.
        feedforward_channels: Width of the feed-forward networks.
        num_encoder_layers: Layers of the encoder.
        num_decoder_layers: Layers of the decoder, the number of stages.
        dropout: Share of zeroed attention weights and activations in training.
        norm_first: Normalise the input of every attention and feed-forward network instead of its
            sum with the input; easier to train from scratch. The encoder then ends with a
            normalisation.
        references: Give every query a learned box that its own box is relative to, and start the
            queries as a grid of points over the image, with their position encodings as embeddings
            (Wang et al., 2022, Sec. 3.2); learns from scratch in a fraction of the time.
        temperature: Ratio of the highest to the lowest frequency of the position encodings.

    Deviation: ``norm_first``, ``references`` and other temperatures than 10000 are no part of the
    published model; the small configuration has them, because it has minutes instead of weeks.

    Raises:
        ValueError: A number is out of range.
    """

    activation: ClassVar[Activation] = "softmax"

    # Names in the toolbox's checkpoints and ours; version 3.x took the transformer out of the head.
    toolbox_names: ClassVar[NameTable] = (
        ("backbone.{p}", "backbone.{p}"),
        ("neck.convs.0.conv.{p}", "project.{p}", "3.x"),
        ("bbox_head.input_proj.{p}", "project.{p}", "2.x"),
        ("query_embedding.weight", "queries", "3.x"),
        ("bbox_head.query_embedding.weight", "queries", "2.x"),
        ("decoder.post_norm.{p}", "norm.{p}", "3.x"),
        ("bbox_head.transformer.decoder.post_norm.{p}", "norm.{p}", "2.x"),
        *(
            (f"{prefix}{coder}.layers.{{i}}.{theirs}.{{p}}", f"{coder}.{{i}}.{ours}.{{p}}", version)
            for version, prefix, attention, cross_attention, ffn in (
                ("3.x", "", "self_attn.attn", "cross_attn.attn", "ffn"),
                (
                    "2.x",
                    "bbox_head.transformer.",
                    "attentions.0.attn",
                    "attentions.1.attn",
                    "ffns.0",
                ),
            )
            for coder, theirs, ours in (
                ("{encoder|decoder}", attention, "attention"),
                ("decoder", cross_attention, "cross_attention"),
                ("{encoder|decoder}", f"{ffn}.layers.0.0", "feedforward.0"),
                ("{encoder|decoder}", f"{ffn}.layers.1", "feedforward.3"),
                ("{encoder|decoder}", "norms.0", "attention_norm"),
                ("encoder", "norms.1", "feedforward_norm"),
                ("decoder", "norms.1", "cross_attention_norm"),
                ("decoder", "norms.2", "feedforward_norm"),
            )
        ),
        ("bbox_head.fc_cls.{p}", "cls.{p}"),
        ("bbox_head.reg_ffn.layers.0.0.{p}", "reg.0.{p}"),
        ("bbox_head.reg_ffn.layers.1.{p}", "reg.2.{p}"),
        ("bbox_head.fc_reg.{p}", "reg.4.{p}"),
    )

    def __init__(
        self,
        backbone: ResNet,
        num_classes: int,
        num_queries: int = 100,
        channels: int = 256,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dropout: float = 0.1,
        norm_first: bool = False,
        references: bool = False,
        temperature: float = 10000.0,
    ) -> None:
        super().__init__()
        check_at_least(
            1,
            num_classes=num_classes,
            num_queries=num_queries,
            feedforward_channels=feedforward_channels,
            num_heads=num_heads,
            num_decoder_layers=num_decoder_layers,
        )
        check_at_least(0, num_encoder_layers=num_encoder_layers)
        if channels < 4 or channels % 4 or channels % num_heads:
            raise ValueError(
                f"Expected `channels` to be a multiple of 4 and of the {num_heads} heads, "
                f"but got {channels}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"Expected `dropout` to be in [0, 1), but got {dropout}.")
        self.num_classes, self.channels, self.temperature = num_classes, channels, temperature
        self.backbone = backbone
        self.project = SmallConv2d(backbone.out_channels[-1], channels, 1)
        sizes = (channels, num_heads, feedforward_channels, dropout, norm_first)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(num_encoder_layers))
        decoder = [DecoderLayer(*sizes) for _ in range(num_decoder_layers)]
        self.decoder = nn.ModuleList(decoder)
        self.encoder_norm: nn.Module = nn.LayerNorm(channels) if norm_first else nn.Identity()
        self.norm = nn.LayerNorm(channels)
        for part in (self.encoder, self.decoder):
            for parameter in part.parameters():
                if parameter.ndim > 1:
                    nn.init.xavier_uniform_(parameter)
        self.queries = nn.Parameter(torch.randn(num_queries, channels))
        self.references: nn.Parameter | None = None
        if references:
            points, encodings = _grid(num_queries, channels, temperature)
            self.queries = nn.Parameter(encodings)
            edges = torch.full_like(points, _REFERENCE_EDGE)
            self.references = nn.Parameter(torch.cat([points, edges], 1).logit())
            for layer in decoder:
                layer.look_around()
        self.cls = Linear(channels, num_classes + 1)
        self.reg = box_branch(channels)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, batch: Batch) -> list[Predictions]:
        """Return the predictions of every decoder layer."""
        features = self.project(self.backbone(batch.images)[-1])
        contents = self._decode(features, batch)  # (L, B, N, C)
        logits = self.cls(contents)
        rows = [(w, h, w, h) for h, w in batch.valid_sizes]
        sizes = tensor_of_sizes(rows, contents.device, torch.float32)
        encoded = self.reg(contents).float()
        if self.references is not None:
            encoded = encoded + self.references
        boxes = cxcywh_to_xyxy(encoded.sigmoid()) * sizes[:, None]
        device = contents.device
        level_idx = torch.zeros(len(self.queries), dtype=torch.long, device=device)
        valid = torch.ones(boxes.shape[1:3], dtype=torch.bool, device=device)
        return [
            Predictions(
                logits=own_logits,
                boxes=own_boxes,
                level_idx=level_idx,
                activation=self.activation,
                valid=valid,
            )
            for own_logits, own_boxes in zip(logits.unbind(), boxes.unbind(), strict=True)
        ]

    def _decode(self, features: Tensor, batch: Batch) -> Tensor:
        """Return ``(L, B, N, C)`` normalised contents of the queries after every decoder layer."""
        map_size = features.shape[2], features.shape[3]
        input_size = batch.images.shape[2], batch.images.shape[3]
        counts = valid_cells(map_size, input_size, batch.valid_sizes, features.device)
        positions = sine_encoding(map_size, counts, self.channels, self.temperature)
        positions = positions.to(features.dtype)
        padding = None
        if any(size != input_size for size in batch.valid_sizes):
            padding = padded_cells(map_size, counts)  # (B, T)
        tokens = features.permute(0, 2, 3, 1).flatten(1, 2)  # (B, T, C)
        for layer in self.encoder:
            tokens = layer(tokens, positions, padding)
        tokens = self.encoder_norm(tokens)
        keys = tokens + positions
        queries = self.queries.expand(batch.images.shape[0], -1, -1)
        contents = torch.zeros_like(queries)
        found = []
        for layer in self.decoder:
            contents = layer(contents, queries, tokens, keys, padding)
            found.append(contents)
        return self.norm(torch.stack(found))


def _grid(num_points: int, channels: int, temperature: float) -> tuple[Tensor, Tensor]:
    """Return ``(N, 2)`` points x, y in (0, 1), row by row, and their ``(N, C)`` encodings."""
    columns = math.ceil(math.sqrt(num_points))
    rows = math.ceil(num_points / columns)
    counts = torch.tensor([[rows, columns]])
    encodings = sine_encoding((rows, columns), counts, channels, temperature)[0]
    y, x = ((torch.arange(n) + 0.5) / n for n in (rows, columns))
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)
    return points[:num_points], encodings[:num_points].clone()
