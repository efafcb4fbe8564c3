"""The reduced ATSS of the published implementation, as data and as our detector."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from corrlight.backbones import FPN, ResNet
from corrlight.detectors import ATSS
from corrlight.detectors.toolbox_names import from_toolbox_names
from corrlight.structures import Batch, Predictions, Targets
from tests.helpers.paths import fixtures_root
from tests.helpers.sparse_rcnn_fixture import load_arrays, load_batch


@dataclass(frozen=True)
class ATSSFixture:
    """Everything the published implementation says of one reduced model."""

    folder: Path
    config: dict[str, Any]
    losses: dict[str, Any]
    outputs: dict[str, Tensor]
    assignment: dict[str, Tensor]
    detections: dict[str, Tensor]
    batch: Batch
    detector: ATSS

    def predict(self) -> Predictions:
        """Return fresh predictions with a graph."""
        return self.detector(self.batch)[0]

    def rows(self, name: str, num_outputs: int) -> Tensor:
        """Return a stored raw output of all levels as ``(B, N, num_outputs)``."""
        maps = [self.outputs[key] for key in sorted(self.outputs) if key.startswith(f"{name}_")]
        return rows_of(maps, num_outputs)

    def targets_of(self, case: str) -> tuple[Targets, ...]:
        """Return the ground truth of an edge batch."""
        first, second = self.batch.targets
        if case == "second_image_empty":
            return (first, _only(second, []))
        if case == "all_empty":
            return (_only(first, []), _only(second, []))
        if case == "one_small_box_only":
            sizes = first.boxes[:, 2:] - first.boxes[:, :2]
            smallest = int(sizes.prod(1).argmin())
            return (_only(first, [smallest]), _only(second, []))
        raise ValueError(f"Unknown edge batch {case!r}.")


def rows_of(maps: list[Tensor], num_outputs: int) -> Tensor:
    """Return ``(B, A * K, H, W)`` maps of all levels as ``(B, N, K)``."""
    return torch.cat(
        [m.permute(0, 2, 3, 1).reshape(m.shape[0], -1, num_outputs) for m in maps], dim=1
    )


def _only(targets: Targets, kept: list[int]) -> Targets:
    return Targets(
        boxes=targets.boxes[kept],
        labels=targets.labels[kept],
        valid_size=targets.valid_size,
        padded_size=targets.padded_size,
        original_size=targets.original_size,
        image_id=targets.image_id,
    )


@functools.cache
def load_atss(name: str) -> ATSSFixture:
    """Return the fixture ``atss`` or ``atss_noaux``, which shares the weights of the former."""
    root = fixtures_root()
    config = json.loads((root / name / "config.json").read_text())
    has_weight = config["head"]["loss_centerness"]["loss_weight"] > 0
    detector = build_detector(config, "centerness" if has_weight else "untrained")
    weights = load_file(root / "atss" / "weights.safetensors")
    detector.load_state_dict(from_toolbox_names(weights, ATSS.toolbox_names), strict=True)
    return ATSSFixture(
        folder=root / name,
        config=config,
        losses=json.loads((root / name / "losses.json").read_text()),
        outputs=load_arrays(root / "atss" / "outputs.npz"),
        assignment=load_arrays(root / "atss" / "assignment.npz"),
        detections=load_arrays(root / name / "detections.npz"),
        batch=load_batch(root, config["input"]["valid"]),
        detector=detector.eval(),
    )


def build_detector(config: dict[str, Any], aux_head: Any) -> ATSS:
    """Return our detector of the toolbox's configuration."""
    backbone, fpn, head = (config[k] for k in ("backbone", "fpn", "head"))
    anchors = head["anchor_generator"]
    return ATSS(
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
            extra_levels=fpn["add_extra_convs"],
        ),
        num_classes=head["num_classes"],
        aux_head=aux_head,
        num_convs=head["stacked_convs"],
        strides=anchors["strides"],
        anchor_scale=anchors["octave_base_scale"],
        scales_per_octave=anchors["scales_per_octave"],
        delta_stds=head["bbox_coder"]["target_stds"],
    )
