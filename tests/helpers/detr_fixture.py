"""The reduced DETR of the published implementation."""

from __future__ import annotations

import torch

from corrlight.boxes import cxcywh_to_xyxy
from corrlight.structures import Predictions
from tests.helpers.published_model import PublishedModel


class PublishedDETR(PublishedModel):
    """It and its stored outputs."""

    @property
    def stages(self) -> list[Predictions]:
        """The stored outputs of the decoder layers."""
        sizes = torch.tensor([[w, h, w, h] for h, w in self.batch.valid_sizes])
        return [
            Predictions(
                logits=logits,
                boxes=cxcywh_to_xyxy(boxes) * sizes[:, None],
                level_idx=torch.zeros(boxes.shape[1], dtype=torch.long),
                activation="softmax",
                valid=torch.ones(boxes.shape[:2], dtype=torch.bool),
            )
            for logits, boxes in zip(
                self.outputs["all_cls"], self.outputs["all_boxes"], strict=True
            )
        ]


def load_detr() -> PublishedDETR:
    """Return the fixture."""
    return PublishedDETR.load("detr")
