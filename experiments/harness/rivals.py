"""The detectors that Table 5.5 compares with, as published and on the embedded pictures."""

from __future__ import annotations

from experiments.harness.setting import DENSE_SHAPES, Setting

__all__ = ["RIVALS"]

# Backbones as in the thesis' table. Seconds on a GPU of one training image are estimates, by what
# they cost Sparse R-CNN.
_R101_DCN = "backbone=resnet101_dcn"
_X101_DCN = "backbone=resnext101_64x4d_dcn"


def _dense(name: str, detector: str) -> Setting:
    """Return a one-stage detector of 24 epochs."""
    return Setting(
        key=f"{detector}_r101_dcn",
        name=f"{name}, ResNet-101-DCN",
        full=(f"detector={detector}", _R101_DCN, "schedule=sgd_2x", "data=coco_multiscale_resize"),
        toy=(f"detector={detector}_small", *DENSE_SHAPES),
        gpu_seconds=0.11,
    )


# The rate of the published RS-R-CNN and RS-Mask R-CNN, which schedule=rs_rcnn_1x has for 12 epochs.
_RANK_SORT_3X = ("schedule=sgd_3x", "schedule.lr=0.012")

RIVALS = (
    _dense("FCOS", "fcos"),
    _dense("GFL", "gfl"),
    Setting(
        key="rs_rcnn_r101_dcn",
        name="RS-R-CNN, ResNet-101-DCN",
        full=("detector=rs_rcnn", _R101_DCN, *_RANK_SORT_3X, "data=coco_multiscale_960"),
        toy=("detector=rs_rcnn_small", *DENSE_SHAPES),
        gpu_seconds=0.15,
    ),
    _dense("GFLv2", "gflv2"),
    _dense("VFNet", "vfnet"),
    _dense("TOOD", "tood"),
    Setting(
        key="rs_mask_rcnn_x101_dcn",
        name="RS-Mask R-CNN, ResNeXt-101-DCN",
        full=("detector=rs_mask_rcnn", _X101_DCN, *_RANK_SORT_3X, "data=coco_multiscale_960"),
        toy=("detector=rs_mask_rcnn_small", *DENSE_SHAPES),
        gpu_seconds=0.3,
    ),
    Setting(
        key="deformable_detr_x101_dcn",
        name="Deformable DETR, ResNeXt-101-DCN",
        # With what is published together as its best form.
        full=(
            "detector=deformable_detr",
            "detector.net.box_refinement=true",
            "detector.net.two_stage=true",
            _X101_DCN,
            "schedule=deformable_detr_50",
            "data=coco_detr",
        ),
        toy=("detector=deformable_detr_small", "data=shapes", "trainer.check_val_every_n_epoch=4"),
        gpu_seconds=0.3,
        toy_minutes=5,
        nms_free=True,
    ),
)
