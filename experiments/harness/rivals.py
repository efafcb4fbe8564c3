"""The detectors that Table 5.5 compares with, as published and on the embedded pictures."""

from __future__ import annotations

from experiments.harness.setting import DENSE_SHAPES, Setting

__all__ = ["RIVALS"]

# Backbones as in the thesis' table: the choice, the end of a row's key, and as printed.
_R101_DCN = ("resnet101_dcn", "r101_dcn", "ResNet-101-DCN")
_X101_DCN = ("resnext101_64x4d_dcn", "x101_dcn", "ResNeXt-101-DCN")


def _rival(
    name: str,
    detector: str,
    options: tuple[str, ...],
    gpu_seconds: float,
    backbone: tuple[str, str, str] = _R101_DCN,
) -> Setting:
    """Return a detector whose small variant trains like the dense ones of the other tables.

    Args:
        name: As printed.
        detector: Its choice.
        options: Schedule and data on COCO.
        gpu_seconds: Estimate for a training image, by what the backbone costs Sparse R-CNN.
        backbone: One of the above.
    """
    choice, key, printed = backbone
    return Setting(
        key=f"{detector}_{key}",
        name=f"{name}, {printed}",
        full=(f"detector={detector}", f"backbone={choice}", *options),
        toy=(f"detector={detector}_small", *DENSE_SHAPES),
        gpu_seconds=gpu_seconds,
    )


_DENSE = ("schedule=sgd_2x", "data=coco_multiscale_resize")
# The rate of the published RS-R-CNN and RS-Mask R-CNN, which schedule=rs_rcnn_1x has for 12 epochs.
_RANK_SORT = ("schedule=sgd_3x", "schedule.lr=0.012", "data=coco_multiscale_960")

RIVALS = (
    _rival("FCOS", "fcos", _DENSE, 0.11),
    _rival("GFL", "gfl", _DENSE, 0.11),
    _rival("RS-R-CNN", "rs_rcnn", _RANK_SORT, 0.15),
    _rival("GFLv2", "gflv2", _DENSE, 0.11),
    _rival("VFNet", "vfnet", _DENSE, 0.11),
    _rival("TOOD", "tood", _DENSE, 0.11),
    _rival("RS-Mask R-CNN", "rs_mask_rcnn", _RANK_SORT, 0.3, _X101_DCN),
    Setting(
        key="deformable_detr_x101_dcn",
        name="Deformable DETR, ResNeXt-101-DCN",
        # With what is published together as its best form.
        full=(
            "detector=deformable_detr",
            "detector.net.box_refinement=true",
            "detector.net.two_stage=true",
            "backbone=resnext101_64x4d_dcn",
            "schedule=deformable_detr_50",
            "data=coco_detr",
        ),
        toy=("detector=deformable_detr_small", "data=shapes", "trainer.check_val_every_n_epoch=4"),
        gpu_seconds=0.3,
        toy_minutes=5,
        nms_free=True,
    ),
)
