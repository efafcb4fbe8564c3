"""What the detectors with towers over a feature pyramid share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corrlight.arguments import check_at_least, check_choice
from corrlight.backbones import FPN, PyramidConv, ResNet
from corrlight.boxes import BoxCoder
from corrlight.detectors.anchors import AnchorGrid
from corrlight.detectors.base import Detector
from corrlight.detectors.dense_head import ConvTower, flatten_levels, init_head
from corrlight.detectors.toolbox_names import NameTable
from corrlight.structures import Activation, Batch, PredictionField, Predictions

__all__ = ["DENSE_NAMES", "PYRAMID_NAMES", "DenseDetector", "PyramidDetector"]

# Names in the toolbox's checkpoints and ours; detectors add those of their heads.
PYRAMID_NAMES: NameTable = (
    ("backbone.{p}", "backbone.{p}"),
    ("neck.lateral_convs.{i}.conv.{p}", "neck.lateral.{i}.{p}"),
    ("neck.fpn_convs.{i}.conv.{p}", "neck.output.{i}.{p}"),
)
DENSE_NAMES: NameTable = (
    *PYRAMID_NAMES,
    ("bbox_head.{cls|reg}_convs.{i}.conv.{p}", "{cls|reg}_tower.{i}.conv.{p}"),
    ("bbox_head.{cls|reg}_convs.{i}.gn.{p}", "{cls|reg}_tower.{i}.norm.{p}"),
)


class PyramidDetector(Detector):
    """A head over a feature pyramid, with priors in every cell.

    Args:
        backbone: Images to maps; has ``out_channels``.
        neck: ``out_channels`` of the backbone to a pyramid with one level a stride.
        num_classes: Foreground classes C.
        anchors: The priors.
        coder: Encoding of the boxes.

    Raises:
        ValueError: An argument is out of range.
    """

    activation: ClassVar[Activation] = "sigmoid"

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], FPN],
        num_classes: int,
        anchors: AnchorGrid,
        coder: BoxCoder,
    ) -> None:
        super().__init__()
        check_at_least(1, num_classes=num_classes)
        self.num_classes = num_classes
        self.backbone = backbone
        self.neck = neck(backbone.out_channels)
        if len(anchors.strides) != self.neck.num_levels:
            raise ValueError(
                f"Expected `strides` to have {self.neck.num_levels} entries, one a level of the "
                f"neck, but got {len(anchors.strides)}."
            )
        self.anchors, self.coder = anchors, coder

    @abstractmethod
    def head(self, levels: Sequence[Tensor], priors: Tensor, level_idx: Tensor) -> dict[str, Any]:
        """Return the fields of the predictions that the head makes: logits, boxes and others.

        Args:
            levels: ``(B, C, H_l, W_l)`` maps of the pyramid.
            priors: ``(N, 4)``.
            level_idx: ``(N,)``.
        """

    def forward(self, batch: Batch) -> list[Predictions]:
        """Return the predictions of the one stage; N is the number of priors."""
        levels = self.neck(self.backbone(batch.images))
        device = batch.images.device
        sizes = [(m.shape[2], m.shape[3]) for m in levels]
        priors, level_idx = self.anchors(sizes, device)
        return [
            Predictions(
                level_idx=level_idx,
                activation=self.activation,
                valid=self._valid(sizes, batch, device),
                priors=priors,
                level_sizes=self.anchors.level_sizes(sizes),
                **self.head(levels, priors, level_idx),
            )
        ]

    def _valid(
        self, sizes: Sequence[tuple[int, int]], batch: Batch, device: torch.device
    ) -> Tensor:
        """Return ``(B, N)``: whether a prior's cell begins inside its image."""
        return self.anchors.valid(sizes, batch.padded_sizes, device)


class DenseDetector(PyramidDetector):
    """A classification and a box tower, shared by the levels of a feature pyramid.

    Subclasses say where priors lie and how boxes are encoded relative to them.

    Args:
        backbone: Images to maps; has ``out_channels``.
        neck: ``out_channels`` of the backbone to a pyramid with one level a stride.
        num_classes: Foreground classes C.
        anchors: The priors.
        coder: Encoding of the boxes.
        num_convs: Convolutions of each tower.
        norm_groups: Groups of the towers' group normalisation; None for no normalisation.
        scale_levels: Whether encoded boxes are multiplied by a learned number a level.
        quality_branch: Name of the branch beside the boxes that rates a hypothesis ("centerness",
            "iou"), or None for detectors that have none.
        aux_head: Whether there is that branch: ``quality_branch`` itself has it, "untrained" has it
            too, but its loss weighs nothing (the published "without auxiliary head"), "none" leaves
            it out.
        box_outputs: Numbers that encode a box.
        conv_bias: Whether the towers' convolutions have a bias; None for those without
            normalisation.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], FPN],
        num_classes: int,
        anchors: AnchorGrid,
        coder: BoxCoder,
        num_convs: int,
        norm_groups: int | None,
        scale_levels: bool,
        quality_branch: str | None = None,
        aux_head: str = "none",
        box_outputs: int = 4,
        conv_bias: bool | None = None,
    ) -> None:
        super().__init__(backbone, neck, num_classes, anchors, coder)
        choices = ["none", *(["untrained", quality_branch] if quality_branch else [])]
        check_choice("aux_head", aux_head, choices)
        self.aux_head, self.quality_branch, self.box_outputs = aux_head, quality_branch, box_outputs

        channels, num_anchors = self.neck.out_channels, anchors.num_per_cell
        self.cls_tower = ConvTower(channels, channels, num_convs, norm_groups, conv_bias)
        self.reg_tower = ConvTower(channels, channels, num_convs, norm_groups, conv_bias)
        self.classifier = PyramidConv(channels, num_anchors * num_classes)
        self.regressor = nn.Conv2d(channels, num_anchors * box_outputs, 3, 1, 1)
        head: list[nn.Module] = [self.cls_tower, self.reg_tower, self.classifier, self.regressor]
        if aux_head != "none":
            assert quality_branch is not None
            self.add_module(quality_branch, nn.Conv2d(channels, num_anchors, 3, 1, 1))
            head.append(self._quality_conv())
        self.scales: nn.ParameterList | None = None
        if scale_levels:
            self.scales = nn.ParameterList(nn.Parameter(torch.ones(())) for _ in anchors.strides)
        init_head(head, self.classifier)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def gives(self) -> tuple[PredictionField, ...]:
        """Anchors and encoded boxes, and the quality where there is the branch."""
        if self.aux_head == "none":
            return ("priors", "deltas")
        return ("priors", "deltas", "quality")

    def _quality_conv(self) -> nn.Conv2d:
        assert self.quality_branch is not None
        conv = getattr(self, self.quality_branch)
        assert isinstance(conv, nn.Conv2d)
        return conv

    def _box_branch(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the box map and the quality map of one level."""
        if self.aux_head == "none":
            return self.regressor(x), None
        # One convolution with the outputs of both: alone, either is too narrow to run well.
        parts = (self.regressor, self._quality_conv())
        weight = torch.cat([p.weight for p in parts])
        bias = torch.cat([p.bias for p in parts if p.bias is not None])
        out = F.conv2d(x, weight, bias, padding=1)
        split = self.regressor.out_channels
        return out[:, :split], out[:, split:]

    def head(self, levels: Sequence[Tensor], priors: Tensor, level_idx: Tensor) -> dict[str, Any]:
        """Return logits, boxes with their encoding, and the quality where there is the branch."""
        cls_maps = self.classifier(self.cls_tower(levels))
        box_maps, quality_maps = [], []
        for features in self.reg_tower(levels):
            box_map, quality_map = self._box_branch(features)
            box_maps.append(box_map)
            if quality_map is not None:
                quality_maps.append(quality_map)
        encoded = flatten_levels(box_maps, self.box_outputs)
        if self.scales is not None:
            encoded = encoded * torch.stack([*self.scales])[level_idx][:, None]
        found: dict[str, Any] = {"logits": flatten_levels(cls_maps, self.num_classes)}
        if quality_maps:
            found["quality"] = flatten_levels(quality_maps, 1).squeeze(-1)
        return {**found, **self._boxes(priors, encoded)}

    def _boxes(self, priors: Tensor, encoded: Tensor) -> dict[str, Any]:
        """Return the boxes that ``(B, N, box_outputs)`` numbers make, and their deltas."""
        return {"boxes": self.coder.decode(priors, encoded), "deltas": encoded}
