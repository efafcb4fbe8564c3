"""Small detectors of torchvision with random weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.fcos import FCOS
from torchvision.models.detection.ssd import SSD, SSDHead
from torchvision.ops import MultiScaleRoIAlign

__all__ = ["NUM_CLASSES", "TORCHVISION_ZOO"]

# Background counts.
NUM_CLASSES = 5
_SIZES = {"min_size": 64, "max_size": 96}
_RATIOS = (0.5, 1.0, 2.0)


class Backbone(nn.Module):
    """Two levels, of strides 8 and 16."""

    # The heads of FCOS normalise 32 groups of channels.
    out_channels = 32

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 8, 8), nn.GroupNorm(4, 32), nn.ReLU())
        self.next = nn.Sequential(nn.Conv2d(32, 32, 2, 2), nn.GroupNorm(4, 32), nn.ReLU())

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        first = self.stem(images)
        return OrderedDict([("0", first), ("1", self.next(first))])


def _anchors(sizes: tuple[tuple[int, ...], ...], ratios: tuple[float, ...]) -> AnchorGenerator:
    return AnchorGenerator(sizes, (ratios,) * len(sizes))


def _retinanet() -> nn.Module:
    anchors = _anchors(((16, 32), (48, 64)), _RATIOS)
    return RetinaNet(Backbone(), NUM_CLASSES, anchor_generator=anchors, **_SIZES)


def _fcos() -> nn.Module:
    anchors = _anchors(((8,), (16,)), (1.0,))
    return FCOS(Backbone(), NUM_CLASSES, anchor_generator=anchors, **_SIZES)


def _ssd() -> nn.Module:
    boxes = DefaultBoxGenerator([[2], [2, 3]], scales=[0.3, 0.6, 0.9], steps=[8, 16])
    head = SSDHead([32, 32], boxes.num_anchors_per_location(), NUM_CLASSES)
    return SSD(Backbone(), boxes, (64, 64), NUM_CLASSES, head=head)


def _rcnn(cls: type[FasterRCNN]) -> nn.Module:
    pools = {"box_roi_pool": MultiScaleRoIAlign(["0", "1"], 4, 2)}
    if cls is MaskRCNN:
        pools["mask_roi_pool"] = MultiScaleRoIAlign(["0", "1"], 4, 2)
    anchors = _anchors(((24,), (48,)), _RATIOS)
    return cls(Backbone(), NUM_CLASSES, rpn_anchor_generator=anchors, **pools, **_SIZES)


def _visible(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Return a maker whose detectors do not start with scores and boxes that are all alike."""

    def maker() -> nn.Module:
        model = make()
        for name, parameter in model.named_parameters():
            if "head" in name and name.endswith("weight") and parameter.ndim == 4:
                torch.nn.init.kaiming_normal_(parameter)
        return model

    return maker


TORCHVISION_ZOO: dict[str, Callable[[], nn.Module]] = {
    "fcos": _visible(_fcos),
    "retinanet": _retinanet,
    "ssd": _ssd,
    "faster_rcnn": lambda: _rcnn(FasterRCNN),
    "mask_rcnn": lambda: _rcnn(MaskRCNN),
}
