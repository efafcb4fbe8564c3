"""Where the tokens of a pyramid lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from corrlight.detectors.transformer import padded_cells, sine_encoding, valid_cells
from corrlight.modes.tracing import tensor_of_sizes
from corrlight.structures import Batch

__all__ = ["LevelLayout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelLayout:
    """Where T tokens lie: level after level, row after row.

    Attributes:
        sizes: Height and width of every level, L pairs.
        counts: ``(B, L, 2)`` rows and columns of every level that show content.
        padding: ``(B, T)`` bool, True for tokens beyond the content, or None if there are none.
    """

    sizes: Sequence[tuple[int, int]]
    counts: Tensor
    padding: Tensor | None = None

    @classmethod
    def of(cls, levels: Sequence[Tensor], batch: Batch) -> LevelLayout:
        """Return the layout of ``(B, C, H_l, W_l)`` maps of a batch."""
        device, input_size = batch.images.device, (batch.images.shape[2], batch.images.shape[3])
        sizes = [(m.shape[2], m.shape[3]) for m in levels]
        counts = [valid_cells(size, input_size, batch.valid_sizes, device) for size in sizes]
        padding = None
        if any(size != input_size for size in batch.valid_sizes):
            own = [padded_cells(*pair) for pair in zip(sizes, counts, strict=True)]
            padding = torch.cat(own, 1)
        return cls(sizes=sizes, counts=torch.stack(counts, 1), padding=padding)

    def cells(self) -> Tensor:
        """Return the ``(L, 2)`` widths and heights of the levels, float32."""
        rows = [(width, height) for height, width in self.sizes]
        return tensor_of_sizes(rows, self.counts.device, torch.float32)

    def shares(self) -> Tensor:
        """Return the ``(B, L, 2)`` shares of every level's width and height that show content."""
        return self.counts.flip(-1) / self.cells()

    def middles(self) -> Tensor:
        """Return the middle x, y of every token's cell as shares of the content, ``(B, T, 2)``.

        Those of padding are above 1.
        """
        device, found = self.counts.device, []
        for level, (height, width) in enumerate(self.sizes):
            y, x = (torch.arange(n, device=device) + 0.5 for n in (height, width))
            content = self.counts[:, level]  # (B, 2)
            across = (x / content[:, 1:])[:, None].expand(-1, height, -1)
            down = (y / content[:, :1])[:, :, None].expand(-1, -1, width)
            found.append(torch.stack([across, down], -1).flatten(1, 2))
        return torch.cat(found, 1)

    def encodings(self, embedding: Tensor) -> Tensor:
        """Return the ``(B, T, C)`` encodings of position and level.

        Args:
            embedding: ``(L, C)`` what is added in each level.
        """
        own = zip(self.sizes, self.counts.unbind(1), embedding.unbind(), strict=True)
        return torch.cat([sine_encoding(s, c, e.shape[0], offset=-0.5) + e for s, c, e in own], 1)

    def level_idx(self) -> Tensor:
        """Return the ``(T,)`` level of every token."""
        device = self.counts.device
        counts = [height * width for height, width in self.sizes]
        return torch.cat([torch.full((n,), i, device=device) for i, n in enumerate(counts)])
