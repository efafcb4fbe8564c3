"""Queries of the two-stage Deformable DETR: the encoder's tokens propose them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from corrlight.detectors.deformable.layout import LevelLayout
from corrlight.detectors.transformer import encode_shares
from corrlight.ops.linear import Linear

__all__ = ["EncoderProposals", "Proposals"]

# Edge of the boxes that tokens of the finest level start from, doubled from level to level, and how
# near to the border of the image a start may be; shares of the image.
_EDGE = 0.05
_MARGIN = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """What the tokens propose, and the queries that the best of them become.

    Attributes:
        logits: ``(B, T, C)``; the first class stands for any object.
        boxes: ``(B, T, 4)`` centre, width and height as shares of the image, fp32.
        references: ``(B, N, 4)`` the chosen boxes, without gradient.
        positions: ``(B, N, C)`` embeddings of the chosen boxes.
        contents: ``(B, N, C)`` what their queries start with.
    """

    logits: Tensor
    boxes: Tensor
    references: Tensor
    positions: Tensor
    contents: Tensor


class EncoderProposals(nn.Module):
    """A box and a score of every token (Zhu et al., 2021, Sec. 4.3).

    Tokens of padding or too near to the border have nothing to say: their features are zeroed and
    their box is one of the image's size around its lower right corner, as published; they are
    background, and may be chosen where others score less.

    Args:
        channels: Channels C of a token, a multiple of 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = Linear(channels, channels)
        self.norm = nn.LayerNorm(channels)
        self.embed = Linear(2 * channels, 2 * channels)
        self.embed_norm = nn.LayerNorm(2 * channels)
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.xavier_uniform_(self.embed.weight)

    def forward(
        self, tokens: Tensor, layout: LevelLayout, cls: nn.Module, reg: nn.Module, num_queries: int
    ) -> Proposals:
        """Return the proposals.

        Args:
            tokens: ``(B, T, C)`` the encoder's output.
            layout: Where they lie.
            cls: Features to logits.
            reg: Features to boxes relative to where a token starts.
            num_queries: Queries N that are chosen; all tokens if they are fewer.
        """
        starts, usable = _starts(layout)
        features = self.norm(self.project(tokens.masked_fill(~usable[..., None], 0)))
        logits = cls(features)
        moved = (reg(features).float() + starts.logit()).sigmoid()
        boxes = torch.where(usable[..., None], moved, 1.0)
        count = min(num_queries, logits.shape[1])
        chosen = logits[..., 0].topk(count, 1).indices  # (B, N)
        references = boxes.detach().gather(1, chosen[..., None].expand(-1, -1, 4))
        channels = tokens.shape[2]
        encoded = encode_shares(references, channels // 2).flatten(2)  # (B, N, 2 C)
        queries = self.embed_norm(self.embed(encoded.to(tokens.dtype)))
        positions, contents = queries.split(channels, 2)
        return Proposals(
            logits=logits,
            boxes=boxes,
            references=references,
            positions=positions,
            contents=contents,
        )


def _starts(layout: LevelLayout) -> tuple[Tensor, Tensor]:
    """Return the ``(B, T, 4)`` boxes that tokens start from, and which of them count, ``(B, T)``.

    Boxes are centre, width and height as shares of the image.
    """
    middles = layout.middles()
    edges = [
        middles.new_full((height * width, 2), _EDGE * 2**level)
        for level, (height, width) in enumerate(layout.sizes)
    ]
    starts = torch.cat([middles, torch.cat(edges).expand_as(middles)], 2)
    usable = ((starts > _MARGIN) & (starts < 1 - _MARGIN)).all(-1)
    if layout.padding is not None:
        usable = usable & ~layout.padding
    # Those beyond the content are no shares; no logit may be NaN, even of what is not used.
    return torch.where(usable[..., None], starts, 0.5), usable
