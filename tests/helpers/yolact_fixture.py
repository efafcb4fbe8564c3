"""The reduced YOLACT of the published implementation, as data and as our detector."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from corrlight.assigners import MaxIoUAssigner
from corrlight.backbones import FPN
from corrlight.criteria import (
    DenseCriterion,
    HardNegativeCrossEntropy,
    InstanceMaskCriterion,
    SmoothL1BoxLoss,
)
from corrlight.detectors import YOLACT
from corrlight.detectors.toolbox_names import from_toolbox_names
from corrlight.postprocess import FastNMSPostprocessor
from corrlight.structures import Batch, Predictions, Targets
from tests.helpers.fixture_data import build_backbone, load_arrays
from tests.helpers.paths import fixtures_root


@dataclass(frozen=True)
class YOLACTFixture:
    """What the published implementation says of one reduced model."""

    config: dict[str, Any]
    losses: dict[str, Any]
    outputs: dict[str, Tensor]
    assignment: dict[str, Tensor]
    detections: dict[str, Tensor]
    batch: Batch
    detector: YOLACT

    def predict(self) -> Predictions:
        """Return fresh predictions with a graph."""
        return self.detector(self.batch)[0]

    def assigner(self) -> MaxIoUAssigner:
        """Return the assigner of the configuration."""
        own = self.config["train"]["assigner"]
        return MaxIoUAssigner(
            own["pos_iou_thr"],
            own["neg_iou_thr"],
            force_match="ties" if own["gt_max_assign_all"] else "one",
        )

    def criterion(self) -> InstanceMaskCriterion:
        """Return the criterion of the configuration, with the published semantic channels."""
        head, mask = self.config["head"], self.config["mask_head"]
        return InstanceMaskCriterion(
            DenseCriterion(
                HardNegativeCrossEntropy(
                    self.config["train"]["neg_pos_ratio"], head["loss_cls"]["loss_weight"]
                ),
                SmoothL1BoxLoss(self.detector.coder, head["loss_bbox"]["beta"]),
                box_weight=head["loss_bbox"]["loss_weight"],
                counting="per_image",
                normalizer="local",
            ),
            mask_weight=mask["loss_mask_weight"],
            semantic_weight=self.config["segm_head"]["loss_segm"]["loss_weight"],
            max_masks=mask["max_masks_to_train"],
            published_channels=True,
        )

    def postprocessor(self) -> FastNMSPostprocessor:
        """Return the postprocessor of the configuration."""
        test = self.config["test"]
        return FastNMSPostprocessor(
            score_thresh=test["score_thr"],
            topk_candidates=test["nms_pre"],
            nms_thresh=test["iou_thr"],
            topk_per_class=test["top_k"],
            max_detections=test["max_per_img"],
        )


@functools.cache
def load_yolact() -> YOLACTFixture:
    """Return the fixture with its weights loaded, in eval mode."""
    folder = fixtures_root() / "yolact"
    config = json.loads((folder / "config.json").read_text())
    detector = build_detector(config)
    weights = load_file(folder / "weights.safetensors")
    missing, unexpected = detector.load_state_dict(
        from_toolbox_names(weights, YOLACT.toolbox_names), strict=False
    )
    # The files leave out how many batches the normalisation has seen.
    assert not unexpected
    assert all(n.endswith("num_batches_tracked") for n in missing)
    return YOLACTFixture(
        config=config,
        losses=json.loads((folder / "losses.json").read_text()),
        outputs=load_arrays(folder / "outputs.npz"),
        assignment=load_arrays(folder / "assignment.npz"),
        detections=load_arrays(folder / "detections.npz"),
        batch=_batch(load_arrays(folder / "inputs.npz")),
        detector=detector.eval(),
    )


def _batch(data: dict[str, Tensor]) -> Batch:
    images = (data["image_u8"].float() - 128) / 64
    size = (images.shape[2], images.shape[3])
    targets = tuple(
        Targets(
            boxes=data[f"gt_boxes_{b}"].float(),
            labels=data[f"gt_labels_{b}"].long(),
            masks=data[f"gt_masks_{b}"].bool(),
            valid_size=size,
            padded_size=size,
            original_size=size,
            image_id=b,
        )
        for b in range(len(images))
    )
    assert data["valid"].tolist() == [list(size)] * len(images)
    return Batch(images=images, targets=targets)


def build_detector(config: dict[str, Any]) -> YOLACT:
    """Return our detector of the toolbox's configuration."""
    fpn, head = config["fpn"], config["head"]
    anchors = head["anchor_generator"]
    return YOLACT(
        build_backbone(
            {**config["backbone"], "frozen_stages": max(config["backbone"]["frozen_stages"], 0)}
        ),
        functools.partial(
            FPN,
            out_channels=fpn["out_channels"],
            num_levels=fpn["num_outs"],
            start_level=fpn["start_level"],
            extra_levels=fpn["add_extra_convs"],
            upsampling=fpn["upsample_cfg"]["mode"],
        ),
        num_classes=head["num_classes"],
        num_prototypes=head["num_protos"],
        prototype_channels=config["mask_head"]["proto_channels"][0],
        num_convs=head["num_head_convs"],
        strides=anchors["strides"],
        anchor_sizes=[anchors["octave_base_scale"] * s for s in anchors["base_sizes"]],
        ratios=anchors["ratios"],
        delta_stds=head["bbox_coder"]["target_stds"],
    )
