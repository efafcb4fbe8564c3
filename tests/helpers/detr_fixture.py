"""Stored outputs of the reduced DETR: what its assigner, criterion and post-processing see."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from corrlight.boxes import cxcywh_to_xyxy
from corrlight.structures import Predictions, Targets
from tests.helpers.paths import fixtures_root
from tests.helpers.sparse_rcnn_fixture import load_arrays, load_batch


@dataclass(frozen=True)
class DETRFixture:
    """What the published implementation says of one reduced model."""

    config: dict[str, Any]
    losses: dict[str, Any]
    assignment: dict[str, Tensor]
    detections: dict[str, Tensor]
    targets: tuple[Targets, ...]
    stages: list[Predictions]


@functools.cache
def load_detr() -> DETRFixture:
    """Return the fixture with the decoder layers' outputs as predictions."""
    folder = fixtures_root() / "detr"
    config = json.loads((folder / "config.json").read_text())
    outputs = load_arrays(folder / "outputs.npz")
    targets = load_batch(fixtures_root(), config["input"]["valid"]).targets
    sizes = torch.tensor([[w, h, w, h] for h, w in (t.valid_size for t in targets)])
    stages = [
        Predictions(
            logits=logits,
            boxes=cxcywh_to_xyxy(boxes) * sizes[:, None],
            level_idx=torch.zeros(boxes.shape[1], dtype=torch.long),
            activation="softmax",
            valid=torch.ones(boxes.shape[:2], dtype=torch.bool),
        )
        for logits, boxes in zip(outputs["all_cls"], outputs["all_boxes"], strict=True)
    ]
    return DETRFixture(
        config=config,
        losses=json.loads((folder / "losses.json").read_text()),
        assignment=load_arrays(folder / "assignment.npz"),
        detections=load_arrays(folder / "detections.npz"),
        targets=targets,
        stages=stages,
    )
