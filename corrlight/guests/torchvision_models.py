"""Detectors of torchvision: as published, or narrow ones around a backbone of ours."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor, nn

from corrlight.arguments import check_choice
from corrlight.backbones import FPN, ResNet
from corrlight.engine.checkpoint import load_checkpoint

__all__ = ["NARROW", "PUBLISHED", "narrow", "published"]

Kind = Literal["fcos", "retinanet", "ssd", "faster_rcnn", "mask_rcnn"]
NARROW: tuple[str, ...] = get_args(Kind)
PUBLISHED = (
    "fcos_resnet50_fpn",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "ssd300_vgg16",
)
# Edges of the anchors of RetinaNet in multiples of 4 of the stride, as published.
_OCTAVES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
_RATIOS = (0.5, 1.0, 2.0)


def published(
    name: str,
    num_classes: int,
    weights: Path | str | None = None,
    weights_backbone: str | None = "DEFAULT",
    trainable_backbone_layers: int | None = None,
) -> nn.Module:
    """Return a full-size detector of torchvision.

    Args:
        name: Of its function in ``torchvision.models.detection``.
        num_classes: Foreground classes C; torchvision counts the background besides.
        weights: File with its state dict for as many classes, or None.
        weights_backbone: Of ImageNet, by torchvision's name (downloaded once), or None.
        trainable_backbone_layers: How many stages of the backbone are trained; None is
            torchvision's default.

    Raises:
        ValueError: There is no such detector, or the file does not fit.
    """
    from torchvision.models import detection

    check_choice("name", name, PUBLISHED)
    options: dict[str, Any] = {"weights": None, "weights_backbone": None}
    if weights is None and weights_backbone is not None:
        options["weights_backbone"] = weights_backbone
    if trainable_backbone_layers is not None:
        options["trainable_backbone_layers"] = trainable_backbone_layers
    model: nn.Module = getattr(detection, name)(num_classes=num_classes + 1, **options)
    if weights is not None:
        _load(model, Path(weights), name)
    return model


def _load(model: nn.Module, file: Path, name: str) -> None:
    if not file.is_file():
        raise ValueError(f"Expected `detector.weights` to be a file, but there is no {file}.")
    content = load_checkpoint(file)
    state = content.get("state_dict", content)
    own = model.state_dict()
    shapes = {key: tuple(value.shape) for key, value in own.items()}
    found = {key: tuple(getattr(value, "shape", ())) for key, value in state.items()}
    wrong = sorted(key for key in {*shapes, *found} if shapes.get(key) != found.get(key))
    if wrong:
        raise ValueError(
            f"Expected {file} to be a state dict of {name} for the data's classes, but "
            f"{len(wrong)} tensors differ: {wrong[0]} is {shapes.get(wrong[0])} in the model and "
            f"{found.get(wrong[0])} in the file."
        )
    model.load_state_dict(state)


def narrow(
    kind: Kind,
    num_classes: int,
    backbone: ResNet,
    neck: Callable[..., FPN],
    strides: Sequence[int],
    anchor_scale: float = 4.0,
) -> nn.Module:
    """Return a detector of torchvision around a backbone and a pyramid of ours.

    Args:
        kind: Which.
        num_classes: Foreground classes C.
        backbone: Images to maps.
        neck: Called with the channels of the maps, makes the pyramid.
        strides: Of the levels, finest first.
        anchor_scale: Edge of the anchors in strides; FCOS has none.

    Raises:
        ValueError: There is no such kind.
    """
    from torchvision.models import detection
    from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
    from torchvision.models.detection.ssd import SSD, SSDHead
    from torchvision.ops import MultiScaleRoIAlign

    check_choice("kind", kind, NARROW)
    body = _Pyramid(backbone, neck(backbone.out_channels))
    count, edges = num_classes + 1, [anchor_scale * stride for stride in strides]
    if kind == "fcos":
        points = AnchorGenerator(tuple((s,) for s in strides), ((1.0,),) * len(strides))
        fcos = detection.FCOS(body, count, anchor_generator=points)
        # Distances are rectified: at 0, as torchvision has it, half of the boxes have no area, no
        # gradient, and nothing to correlate.
        nn.init.ones_(fcos.head.regression_head.bbox_reg.bias)
        return fcos
    if kind == "retinanet":
        sizes = tuple(tuple(edge * octave for octave in _OCTAVES) for edge in edges)
        anchors = AnchorGenerator(sizes, (_RATIOS,) * len(sizes))
        return detection.RetinaNet(body, count, anchor_generator=anchors)
    if kind == "ssd":
        # One scale more than levels: boxes in between are of the mean of two. As shares of a
        # picture of 32 cells of the finest level.
        side = 16 * strides[0]
        scales = [edge / side for edge in (*edges, 2 * edges[-1])]
        boxes = DefaultBoxGenerator([[2]] * len(strides), scales=scales, steps=list(strides))
        channels = [body.out_channels] * len(strides)
        head = SSDHead(channels, boxes.num_anchors_per_location(), count)
        return SSD(body, boxes, (side, side), count, head=head)
    names = [str(k) for k in range(len(strides))]
    parts: dict[str, Any] = {
        "rpn_anchor_generator": AnchorGenerator(
            tuple((edge,) for edge in edges), (_RATIOS,) * len(edges)
        ),
        "box_roi_pool": MultiScaleRoIAlign(names, 7, 2),
    }
    # Their second stage has 1024 channels otherwise, more than everything else together.
    pooled = body.out_channels * 7 * 7
    parts["box_head"] = detection.faster_rcnn.TwoMLPHead(pooled, 4 * body.out_channels)
    parts["box_predictor"] = detection.faster_rcnn.FastRCNNPredictor(4 * body.out_channels, count)
    # Few objects a picture: smaller samples, and fewer proposals.
    parts |= {"rpn_post_nms_top_n_train": 200, "rpn_post_nms_top_n_test": 100}
    parts["box_batch_size_per_image"] = 64
    if kind == "faster_rcnn":
        return detection.FasterRCNN(body, **parts)
    width = body.out_channels
    return detection.MaskRCNN(
        body,
        **parts,
        mask_roi_pool=MultiScaleRoIAlign(names, 14, 2),
        mask_head=detection.mask_rcnn.MaskRCNNHeads(width, (width, width), 1),
        mask_predictor=detection.mask_rcnn.MaskRCNNPredictor(width, width, count),
    )


class _Pyramid(nn.Module):
    """Backbone and pyramid as torchvision's detectors have them: maps by name."""

    def __init__(self, backbone: ResNet, neck: FPN) -> None:
        super().__init__()
        self.body, self.fpn = backbone, neck
        self.out_channels: int = neck.out_channels

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        return OrderedDict((str(k), m) for k, m in enumerate(self.fpn(self.body(images))))
