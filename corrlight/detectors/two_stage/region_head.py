"""What is inside a region: two shared layers, then classes and boxes (Girshick, 2015)."""

from __future__ import annotations

from torch import Tensor, nn

from corrlight.ops.linear import Linear

__all__ = ["RegionHead"]


class RegionHead(nn.Module):
    """Two fully connected layers with ReLU, a classifier and a box for every class.

    Args:
        channels: Channels of the regions.
        num_cells: Cells S * S of a region.
        hidden_channels: Width of the two layers.
        num_classes: Foreground classes C.
        num_logits: Outputs of the classifier, C or C + 1.
    """

    def __init__(
        self, channels: int, num_cells: int, hidden_channels: int, num_classes: int, num_logits: int
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        inputs = (channels * num_cells, hidden_channels)
        self.layers = nn.ModuleList(Linear(n, hidden_channels) for n in inputs)
        self.classifier = Linear(hidden_channels, num_logits)
        self.regressor = Linear(hidden_channels, 4 * num_classes)
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_uniform_(layer.weight)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.normal_(self.regressor.weight, std=0.001)
        for linear in (m for m in self.modules() if isinstance(m, nn.Linear)):
            nn.init.zeros_(linear.bias)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits ``(B, N, num_logits)`` and encoded boxes ``(B, N, C, 4)``.

        Args:
            regions: ``(B, N, S * S, channels)`` features.
        """
        x = regions.mT.flatten(2)  # by channel, then by cell, as checkpoints have it
        for layer in self.layers:
            x = layer(x).relu()
        return self.classifier(x), self.regressor(x).unflatten(-1, (self.num_classes, 4))
