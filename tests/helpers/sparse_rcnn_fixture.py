"""The reduced Sparse R-CNN of the published implementation, as data and as our detector."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from corrlight.backbones import FPN
from corrlight.detectors import SparseRCNN
from corrlight.detectors.toolbox_names import from_toolbox_names
from corrlight.structures import Batch
from tests.helpers.fixture_data import build_backbone, load_arrays, load_batch
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
        build_backbone(backbone),
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
