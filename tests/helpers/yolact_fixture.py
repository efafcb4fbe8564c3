"""The reduced YOLACT of the published implementation, and our parts of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corrlight.assigners import MaxIoUAssigner
from corrlight.criteria import (
    DenseCriterion,
    HardNegativeCrossEntropy,
    InstanceMaskCriterion,
    SmoothL1BoxLoss,
)
from corrlight.postprocess import FastNMSPostprocessor
from corrlight.structures import Batch, Predictions, Targets
from tests.helpers.fixture_data import load_arrays
from tests.helpers.published_model import PublishedModel


class PublishedYOLACT(PublishedModel):
    """It, its own input, and our other parts."""

    @classmethod
    def load_batch(cls, folder: Path, config: dict[str, Any]) -> Batch:
        """Return its own input, with masks and without padding."""
        data = load_arrays(folder / "inputs.npz")
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


def load_yolact() -> PublishedYOLACT:
    """Return the fixture."""
    return PublishedYOLACT.load("yolact")
