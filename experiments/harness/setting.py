"""The detectors as the thesis trains them, and as the embedded pictures train them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ATSS",
    "ATSS_ALRP",
    "ATSS_AP",
    "ATSS_CENTERNESS",
    "ATSS_QFL",
    "ATSS_RS",
    "DENSE_SHAPES",
    "DETR",
    "FOVEABOX",
    "PAA",
    "RETINANET",
    "SPARSE_RCNN",
    "SPARSE_RCNN_3X",
    "SPARSE_RCNN_R101",
    "SPARSE_RCNN_X101",
    "YOLACT",
    "Setting",
]


# Seconds on a GPU. Sparse R-CNN: 0.50 s an iteration of 4 x 4 images (thesis, 5.5.3), which is
# 0.125 s an image. ATSS: half of it, the ratio of the published implementations' iterations on a
# CPU (0.997 s and 1.976 s). The other detectors are guesses from these two.
_SPARSE_RCNN_SECONDS = 0.125
_ATSS_SECONDS = 0.063
# Wall minutes of a toy run, measured with two side by side (docs/results_toy.md).
_DENSE_MINUTES = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A detector with its base loss, without Correlation Loss.

    Attributes:
        key: Short name; the first part of the names of its rows.
        name: As printed.
        full: ``run.py`` options of the thesis' training on COCO.
        toy: Options of the small variant on the embedded shapes.
        corr: Options of every Correlation Loss on it, such as the published grouping.
        gpu_seconds: Estimated GPU seconds (V100, 32 bit) of one training image, for ``--dry-run``;
            by default those of a dense detector.
        toy_minutes: Minutes of a toy run on one CPU thread, likewise.
        nms_free: Whether it has no NMS; such rows count as converged from a lower AP50 on.
        masks: Whether its AP of the thesis is that of masks.
    """

    key: str
    name: str
    full: tuple[str, ...]
    toy: tuple[str, ...]
    corr: tuple[str, ...] = ()
    gpu_seconds: float = _ATSS_SECONDS
    toy_minutes: float = _DENSE_MINUTES
    nms_free: bool = False
    masks: bool = False

    @property
    def prefix(self) -> str:
        """What stands before the names of its AP measures."""
        return "mask_" if self.masks else ""


# A table of toy runs is to take minutes, not hours: six epochs of the ten of schedule=shapes_dense
# give most of the AP. Validation costs a small run a fifth of its time: twice is enough.
DENSE_SHAPES = (
    "data=shapes",
    "trainer.check_val_every_n_epoch=3",
    "schedule.max_epochs=6",
    "schedule.scheduler.milestones=[5]",
)

_ATSS = ("detector=atss", "data=coco")
_ATSS_SMALL = ("detector=atss_small", *DENSE_SHAPES)
_NO_HEAD = ("detector.aux_head=none",)
# Rank & Sort's published anchors and rate (conf/experiment/atss_rank_sort_r50_1x.yaml).
_THREE_SCALES = ("++detector.net.anchor_scale=4", "++detector.net.scales_per_octave=3")
_RANKING_RATE = ("schedule.lr=0.008",)
# Ranking losses fix the order of the scores, not their scale: after a short training most of them
# are still near the prior, below the usual threshold.
_ANY_SCORE = ("detector.postprocessor.score_thresh=0.0",)

RETINANET = Setting(
    key="retinanet",
    name="RetinaNet",
    full=("detector=retinanet", "data=coco"),
    toy=("detector=retinanet_small", *DENSE_SHAPES),
    # As published: one term a pyramid level, the mean of the levels with positives.
    corr=("corr.group_by=level", "corr.reduction=mean"),
)
FOVEABOX = Setting(
    key="foveabox",
    name="FoveaBox",
    full=("detector=foveabox", "data=coco"),
    toy=("detector=foveabox_small", *DENSE_SHAPES),
)
ATSS = Setting(
    key="atss",
    name="ATSS",
    full=(*_ATSS, *_NO_HEAD),
    toy=(*_ATSS_SMALL, *_NO_HEAD),
)
ATSS_CENTERNESS = Setting(
    key="atss-centerness",
    name="ATSS, centerness head",
    full=(*_ATSS, "detector.aux_head=centerness"),
    toy=(*_ATSS_SMALL, "detector.aux_head=centerness"),
)
ATSS_AP = Setting(
    key="atss-ap",
    name="ATSS, AP Loss",
    full=(*_ATSS, *_NO_HEAD, "loss=ap", *_THREE_SCALES, *_RANKING_RATE),
    toy=(*_ATSS_SMALL, *_NO_HEAD, "loss=ap", *_ANY_SCORE),
)
ATSS_ALRP = Setting(
    key="atss-alrp",
    name="ATSS, aLRP Loss",
    full=(
        *_ATSS,
        *_NO_HEAD,
        "loss=alrp",
        "loss.period=7330",
        "++detector.net.anchor_scale=4",
        "++detector.net.scales_per_octave=2",
        *_RANKING_RATE,
    ),
    toy=(*_ATSS_SMALL, *_NO_HEAD, "loss=alrp", "loss.period=125", *_ANY_SCORE),
)
ATSS_QFL = Setting(
    key="atss-qfl",
    name="ATSS, QFL",
    full=(*_ATSS, *_NO_HEAD, "loss=quality_focal"),
    toy=(*_ATSS_SMALL, *_NO_HEAD, "loss=quality_focal"),
)
ATSS_RS = Setting(
    key="atss-rs",
    name="ATSS, RS Loss",
    full=(*_ATSS, *_NO_HEAD, "loss=rank_sort", *_THREE_SCALES, *_RANKING_RATE),
    toy=(*_ATSS_SMALL, *_NO_HEAD, "loss=rank_sort", *_ANY_SCORE),
)
PAA = Setting(
    key="paa",
    name="PAA",
    full=("detector=paa", "data=coco", *_NO_HEAD),
    toy=("detector=paa_small", *DENSE_SHAPES, *_NO_HEAD),
)

_SPARSE_SMALL = ("detector=sparse_rcnn_small", "data=shapes")
# The small Sparse R-CNN's own 50 epochs would take longer than a toy row may.
_SPARSE_EPOCHS = (
    "trainer.check_val_every_n_epoch=5",
    "schedule.max_epochs=9",
    "schedule.scheduler.milestones=[7]",
)
# A deeper backbone on top: nine epochs take ten minutes on a busy machine.
_SPARSE_FEWER_EPOCHS = (
    "trainer.check_val_every_n_epoch=4",
    "schedule.max_epochs=7",
    "schedule.scheduler.milestones=[5]",
)

SPARSE_RCNN = Setting(
    key="sparse_rcnn",
    name="Sparse R-CNN",
    full=("detector=sparse_rcnn", "data=coco"),
    toy=(*_SPARSE_SMALL, *_SPARSE_EPOCHS),
    gpu_seconds=_SPARSE_RCNN_SECONDS,
    toy_minutes=3.5,
    nms_free=True,
)
_STRONG = (
    "detector=sparse_rcnn",
    "detector.net.num_proposals=300",
    "schedule=sparse_rcnn_3x",
)
SPARSE_RCNN_3X = Setting(
    key="sparse_rcnn_3x",
    name="Sparse R-CNN, 36 epochs, 300 proposals",
    full=(*_STRONG, "data=coco_multiscale"),
    toy=(*_SPARSE_SMALL, "detector.net.num_proposals=60", *_SPARSE_EPOCHS),
    gpu_seconds=0.17,
    toy_minutes=5.5,
    nms_free=True,
)
SPARSE_RCNN_R101 = Setting(
    key="sparse_rcnn_r101_dcn",
    name="Corr-Sparse R-CNN, ResNet-101-DCN",
    full=(*_STRONG, "backbone=resnet101_dcn", "data=coco_multiscale_960"),
    toy=(*_SPARSE_SMALL, "detector.net.num_proposals=60", *_SPARSE_EPOCHS),
    gpu_seconds=0.3,
    toy_minutes=5.5,
    nms_free=True,
)
SPARSE_RCNN_X101 = Setting(
    key="sparse_rcnn_x101_dcn",
    name="Corr-Sparse R-CNN, ResNeXt-101-DCN",
    full=(*_STRONG, "backbone=resnext101_64x4d_dcn", "data=coco_multiscale_960"),
    toy=(
        *_SPARSE_SMALL,
        "detector.net.num_proposals=60",
        "backbone.depth=34",
        *_SPARSE_FEWER_EPOCHS,
    ),
    gpu_seconds=0.5,
    toy_minutes=5,
    nms_free=True,
)
DETR = Setting(
    key="detr",
    name="DETR",
    full=("detector=detr", "data=coco_detr"),
    toy=(
        "detector=detr_small",
        "data=shapes",
        "trainer.check_val_every_n_epoch=10",
        "schedule.max_epochs=20",
        "schedule.scheduler.milestones=[17]",
    ),
    gpu_seconds=0.06,
    toy_minutes=4,
    nms_free=True,
)
YOLACT = Setting(
    key="yolact",
    name="YOLACT",
    full=("detector=yolact", "data=coco_yolact"),
    toy=("detector=yolact_small", *DENSE_SHAPES, "data.load_masks=true"),
    # As published: one term an image, summed over the images of a GPU.
    corr=("corr.group_by=image", "corr.reduction=sum"),
    gpu_seconds=0.035,
    toy_minutes=2.5,
    masks=True,
)
