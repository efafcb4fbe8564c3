"""The reduced Sparse R-CNN of the published implementation, as data and as our detector."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from corrlight.backbones import FPN, ResNet
from corrlight.detectors import SparseRCNN
from corrlight.detectors.toolbox_names import from_toolbox_names
from corrlight.structures import Batch, Targets
from tests.helpers.paths import fixtures_root


@dataclass(frozen=True)
class SparseRCNNFixture:
    """Everything the published implementation says of one reduced model."""

    config: dict[str, Any]
    losses: dict[str, Any]
    outputs: dict[str, Tensor]
    assignment: dict[str, Tensor]
    detections: dict[str, Tensor]
    batch: Batch
    detector: SparseRCNN


def load_arrays(path: Path) -> dict[str, Tensor]:
    """Return the arrays of an ``.npz`` file."""
    with np.load(path) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def load_batch(root: Path, valid_sizes: list[list[int]]) -> Batch:
    """Return the common input of the detectors."""
    data = load_arrays(root / "common" / "inputs.npz")
    images = (data["image_u8"].float() - 128) / 64
    targets = []
    for b, (height, width) in enumerate(valid_sizes):
        images[b, :, height:] = 0
        images[b, :, :, width:] = 0
        targets.append(
            Targets(
                boxes=data[f"gt_boxes_{b}"].float(),
                labels=data[f"gt_labels_{b}"].long(),
                valid_size=(height, width),
                padded_size=(-(-height // 32) * 32, -(-width // 32) * 32),
                original_size=(height, width),
                image_id=b,
            )
        )
    return Batch(images=images, targets=tuple(targets))


@functools.cache
def load_sparse_rcnn() -> SparseRCNNFixture:
    """Return the fixture with its weights loaded, in eval mode."""
    root = fixtures_root()
    folder = root / "sparse_rcnn"
    config = json.loads((folder / "config.json").read_text())
    detector = build_detector(config)
    weights = load_file(folder / "weights.safetensors")
    detector.load_state_dict(from_toolbox_names(weights, SparseRCNN.toolbox_names), strict=True)
    return SparseRCNNFixture(
        config=config,
        losses=json.loads((folder / "losses.json").read_text()),
        outputs=load_arrays(folder / "outputs.npz"),
        assignment=load_arrays(folder / "assignment.npz"),
        detections=load_arrays(folder / "detections.npz"),
        batch=load_batch(root, config["input"]["valid"]),
        detector=detector.eval(),
    )


def build_detector(config: dict[str, Any]) -> SparseRCNN:
    """Return our detector of the toolbox's configuration."""
    backbone, fpn, roi, head = (config[k] for k in ("backbone", "fpn", "roi", "stage_head"))
    return SparseRCNN(
        ResNet(
            int(backbone["type"].removeprefix("resnet")),
            base_width=backbone["base_channels"],
            frozen_stages=backbone["frozen_stages"],
        ),
        functools.partial(
            FPN,
            out_channels=fpn["out_channels"],
            num_levels=fpn["num_outs"],
            start_level=fpn["start_level"],
            extra_levels=None,
        ),
        num_classes=head["num_classes"],
        num_proposals=config["num_proposals"],
        num_stages=config["num_stages"],
        strides=roi["featmap_strides"],
        num_heads=head["num_heads"],
        feedforward_channels=head["feedforward_channels"],
        dynamic_channels=head["dynamic_conv_cfg"]["feat_channels"],
        region_size=roi["roi_layer"]["output_size"],
        stds=head["bbox_coder"]["target_stds"],
    )
