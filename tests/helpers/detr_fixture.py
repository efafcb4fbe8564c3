"""The reduced DETR of the published implementation, as data and as our detector."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from corrlight.backbones import ResNet
from corrlight.boxes import cxcywh_to_xyxy
from corrlight.detectors import DETR
from corrlight.detectors.toolbox_names import from_toolbox_names
from corrlight.structures import Batch, Predictions, Targets
from tests.helpers.fixture_data import load_arrays, load_batch
from tests.helpers.paths import fixtures_root


@dataclass(frozen=True)
class DETRFixture:
    """What the published implementation says of one reduced model."""

    config: dict[str, Any]
    losses: dict[str, Any]
    outputs: dict[str, Tensor]
    assignment: dict[str, Tensor]
    detections: dict[str, Tensor]
    batch: Batch
    detector: DETR
    stages: list[Predictions]  # the stored outputs of the decoder layers

    @property
    def targets(self) -> tuple[Targets, ...]:
        """Ground truth of the batch."""
        return self.batch.targets


@functools.cache
def load_detr() -> DETRFixture:
    """Return the fixture with its weights loaded, in eval mode."""
    folder = fixtures_root() / "detr"
    config = json.loads((folder / "config.json").read_text())
    outputs = load_arrays(folder / "outputs.npz")
    batch = load_batch(fixtures_root(), config["input"]["valid"])
    sizes = torch.tensor([[w, h, w, h] for h, w in batch.valid_sizes])
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
    detector = build_detector(config)
    weights = load_file(folder / "weights.safetensors")
    detector.load_state_dict(from_toolbox_names(weights, DETR.toolbox_names), strict=True)
    return DETRFixture(
        config=config,
        losses=json.loads((folder / "losses.json").read_text()),
        outputs=outputs,
        assignment=load_arrays(folder / "assignment.npz"),
        detections=load_arrays(folder / "detections.npz"),
        batch=batch,
        detector=detector.eval(),
        stages=stages,
    )


def build_detector(config: dict[str, Any]) -> DETR:
    """Return our detector of the toolbox's configuration."""
    backbone, head = config["backbone"], config["head"]
    encoder, decoder = head["transformer"]["encoder"], head["transformer"]["decoder"]
    attention = decoder["transformerlayers"]["attn_cfgs"]
    return DETR(
        ResNet(
            int(backbone["type"].removeprefix("resnet")),
            base_width=backbone["base_channels"],
            frozen_stages=backbone["frozen_stages"],
            norm_affine_trainable=backbone["bn_requires_grad"],
            out_stages=[int(level[1:]) - 1 for level in backbone["out_levels"]],
        ),
        num_classes=head["num_classes"],
        num_queries=head["num_query"],
        channels=attention["embed_dims"],
        num_heads=attention["num_heads"],
        feedforward_channels=decoder["transformerlayers"]["feedforward_channels"],
        num_encoder_layers=encoder["num_layers"],
        num_decoder_layers=decoder["num_layers"],
        dropout=attention["dropout"],
    )
