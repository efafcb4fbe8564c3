"""A reduced model of the published implementation: its files, and our detector with its weights.

The weights come through ``corrlight convert``, as those of a user's checkpoint do.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from torch import Tensor

from corrlight.config.build import build_module
from corrlight.convert import convert_checkpoint
from corrlight.convert.expected import compose_detector
from corrlight.detectors.base import Detector
from corrlight.detectors.toolbox_names import from_toolbox_names
from corrlight.engine.checkpoint import load_weights
from corrlight.module import DetectionModule
from corrlight.structures import Batch, Targets
from tests.helpers.fixture_data import load_arrays, load_batch
from tests.helpers.paths import existing_fixture, fixtures_root


@dataclass(frozen=True)
class PublishedModel:
    """What the published implementation says of one reduced model.

    Attributes:
        folder: Where its files are; ``*_noaux`` shares weights, outputs and assignment with its
            base.
        detector: Ours, in eval mode.
    """

    folder: Path
    config: dict[str, Any]
    losses: dict[str, Any]
    outputs: dict[str, Tensor]
    assignment: dict[str, Tensor]
    detections: dict[str, Tensor]
    batch: Batch
    detector: Any

    @classmethod
    @functools.cache
    def load(cls, name: str) -> Self:
        """Return the model of a folder."""
        folder = existing_fixture(name)
        shared = fixtures_root() / name.removesuffix("_noaux")
        config = json.loads((folder / "config.json").read_text())
        return cls(
            folder=folder,
            config=config,
            losses=json.loads((folder / "losses.json").read_text()),
            outputs=load_arrays(shared / "outputs.npz"),
            assignment=load_arrays(shared / "assignment.npz"),
            detections=load_arrays(folder / "detections.npz"),
            batch=cls.load_batch(folder, config),
            detector=converted_detector(shared, config),
        )

    @classmethod
    def load_batch(cls, folder: Path, config: dict[str, Any]) -> Batch:
        """Return the input, common to most models."""
        return load_batch(folder.parent, config["input"]["valid"])

    @property
    def targets(self) -> tuple[Targets, ...]:
        """Ground truth of the batch."""
        return self.batch.targets

    def assert_gradient_norms(
        self, variant: str, terms: Mapping[str, Tensor], absolute: float
    ) -> None:
        """Compare the gradient of the terms' sum, parameter by parameter.

        Args:
            variant: Whose norms.
            terms: Our loss terms, with the detector's graph.
            absolute: Difference that is allowed beside a thousandth.
        """
        trained = {n: p for n, p in self.detector.named_parameters() if p.requires_grad}
        total = torch.stack([*terms.values()]).sum()
        norms = [float(g.norm()) for g in torch.autograd.grad(total, [*trained.values()])]
        ours = dict(zip(trained, norms, strict=True))
        stored = from_toolbox_names(self.losses["grad_norm"][variant], self.detector.toolbox_names)
        assert ours.keys() == stored.keys()
        for name, norm in stored.items():
            assert ours[name] == pytest.approx(norm, rel=1e-3, abs=absolute), name


def converted_detector(folder: Path, config: dict[str, Any]) -> Detector:
    """Return our detector with the weights of a folder, in eval mode."""
    return converted_module(folder, config).detector


def converted_module(folder: Path, config: dict[str, Any]) -> DetectionModule:
    """Return our detector and its other parts with the weights of a folder, in eval mode."""
    name, options = detector_of(config)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "converted.ckpt"
        report = convert_checkpoint(
            folder / "weights.safetensors", path, detector=name, overrides=options
        )
        assert report.complete, [*report.lines()]
        assert not report.unmatched, report.unmatched
        assert not report.dropped, report.dropped
        num_classes = config["head" if "head" in config else "stage_head"]["num_classes"]
        composed = compose_detector(name, options)
        composed.data.num_classes = num_classes
        module = build_module(composed)
        load_weights(module, path)
    return module.eval()


def detector_of(config: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the file of ``conf/detector`` and the options that describe a reduced network."""
    name = config["detector"]
    for variant in ("_noaux", "_initial", "_refine", "_two_stage"):
        name = name.removesuffix(variant)
    backbone, fpn = config["backbone"], config.get("fpn")
    options = {
        "backbone.depth": int(backbone["type"].removeprefix("resnet")),
        "backbone.base_width": backbone["base_channels"],
        "backbone.frozen_stages": max(backbone["frozen_stages"], 0),
    }
    if "out_stages" in backbone:
        options["backbone.out_stages"] = backbone["out_stages"]
    if "bn_requires_grad" in backbone:
        options["backbone.norm_affine_trainable"] = backbone["bn_requires_grad"]
    if fpn is not None:
        options["detector.net.neck.out_channels"] = fpn["out_channels"]
        options["detector.net.neck.num_levels"] = fpn["num_outs"]
        options["detector.net.neck.start_level"] = fpn["start_level"]
    describe = {"detr": _detr, "sparse_rcnn": _sparse_rcnn, "yolact": _yolact}.get(name, _dense)
    if "toolbox" in config:
        describe = _deformable_detr if name == "deformable_detr" else _narrowed
    options |= {f"detector.net.{key}": value for key, value in describe(config).items()}
    if not config.get("head", {}).get("loss_centerness", {}).get("loss_weight", 1):
        options["detector.aux_head"] = "untrained"
    return name, [f"++{key}={_written(value)}" for key, value in options.items()]


def _written(value: Any) -> str:
    """Return a value as options have it."""
    return str(value).replace("'", "").replace(" ", "")


def _narrowed(config: dict[str, Any]) -> dict[str, Any]:
    """Of models that benchmarks/mmdetection_fixtures.py made: all else is our file's."""
    head = config["head"]
    if "proposals" in config:
        return _two_stage(config)
    return {"num_convs": head["stacked_convs"], "norm_groups": head["norm_cfg"]["num_groups"]}


def _deformable_detr(config: dict[str, Any]) -> dict[str, Any]:
    own = config["transformer"]
    layers = {f"num_{coder}_layers": own["num_layers"] for coder in ("encoder", "decoder")}
    kept = ("num_queries", "num_heads", "num_points", "feedforward_channels")
    return {
        **{key: own[key] for key in kept},
        **layers,
        "neck.out_channels": config["neck"]["out_channels"],
        "neck.norm_groups": config["neck"]["num_groups"],
        "box_refinement": own.get("with_box_refine", False),
        "two_stage": own.get("as_two_stage", False),
    }


def _two_stage(config: dict[str, Any]) -> dict[str, Any]:
    head, proposals = config["head"], config["proposals"]
    own = {
        "hidden_channels": head["hidden_channels"],
        "selection.topk_in_training": proposals["training"][0],
        "selection.topk": proposals["test"][0],
        "selection.max_proposals": proposals["training"][1],
    }
    assert proposals["training"][1] == proposals["test"][1]
    if config["detector"] == "mask_rcnn":
        own["mask_channels"] = head["mask_channels"]
    return own


def _dense(config: dict[str, Any]) -> dict[str, Any]:
    head = config["head"]
    own: dict[str, Any] = {
        "num_convs": head["stacked_convs"],
        "neck.extra_levels": config["fpn"]["add_extra_convs"],
    }
    if "anchor_generator" not in head:
        return own | {"strides": head["strides"], "base_edges": head["base_edge_list"]}
    anchors = head["anchor_generator"]
    own |= {
        "strides": anchors["strides"],
        "anchor_scale": anchors["octave_base_scale"],
        "delta_stds": head["bbox_coder"]["target_stds"],
    }
    if config["detector"] == "retinanet":
        own |= {"scales_per_octave": anchors["scales_per_octave"], "ratios": anchors["ratios"]}
    return own


def _sparse_rcnn(config: dict[str, Any]) -> dict[str, Any]:
    roi, head = config["roi"], config["stage_head"]
    return {
        "num_proposals": config["num_proposals"],
        "num_stages": config["num_stages"],
        "strides": roi["featmap_strides"],
        "num_heads": head["num_heads"],
        "feedforward_channels": head["feedforward_channels"],
        "dynamic_channels": head["dynamic_conv_cfg"]["feat_channels"],
        "region_size": roi["roi_layer"]["output_size"],
        "stds": head["bbox_coder"]["target_stds"],
    }


def _detr(config: dict[str, Any]) -> dict[str, Any]:
    head = config["head"]
    encoder, decoder = head["transformer"]["encoder"], head["transformer"]["decoder"]
    attention = decoder["transformerlayers"]["attn_cfgs"]
    return {
        "num_queries": head["num_query"],
        "channels": attention["embed_dims"],
        "num_heads": attention["num_heads"],
        "feedforward_channels": decoder["transformerlayers"]["feedforward_channels"],
        "num_encoder_layers": encoder["num_layers"],
        "num_decoder_layers": decoder["num_layers"],
        "dropout": attention["dropout"],
    }


def _yolact(config: dict[str, Any]) -> dict[str, Any]:
    head = config["head"]
    anchors = head["anchor_generator"]
    return {
        "neck.extra_levels": config["fpn"]["add_extra_convs"],
        "neck.upsampling": config["fpn"]["upsample_cfg"]["mode"],
        "num_prototypes": head["num_protos"],
        "prototype_channels": config["mask_head"]["proto_channels"][0],
        "num_convs": head["num_head_convs"],
        "strides": anchors["strides"],
        "anchor_sizes": [anchors["octave_base_scale"] * s for s in anchors["base_sizes"]],
        "ratios": anchors["ratios"],
        "delta_stds": head["bbox_coder"]["target_stds"],
    }
