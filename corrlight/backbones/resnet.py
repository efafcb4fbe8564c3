"""ResNet and ResNeXt with the block structure and the state-dict names of torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corrlight.arguments import check_at_least, check_choice
from corrlight.backbones.deformable import DeformableConv
from corrlight.backbones.norm import FrozenNorm, conv_norm
from corrlight.backbones.weights import load_resnet_weights
from corrlight.ops.small_conv import SmallConv2d

__all__ = ["ResNet"]

# Depth: (bottleneck blocks, blocks of the four stages).
_LAYOUTS = {
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
}


class _Norms:
    """Makes the normalisation layers of one part of the network."""

    def __init__(self, kind: str, affine_trainable: bool) -> None:
        self.kind, self.affine_trainable = kind, affine_trainable

    def __call__(self, channels: int) -> nn.Module:
        if self.kind == "batch":
            return nn.BatchNorm2d(channels)
        return FrozenNorm(channels, self.affine_trainable)


@dataclass(frozen=True, slots=True)
class _Middle:
    """Makes the 3x3 convolutions of the bottlenecks of one stage."""

    groups: int
    width_per_group: int
    deformable_groups: int | None

    def __call__(self, channels: int, stride: int) -> nn.Conv2d:
        args = (channels, channels, 3, stride, 1)
        if self.deformable_groups is None:
            return SmallConv2d(*args, groups=self.groups, bias=False)
        return DeformableConv(*args, groups=self.groups, offset_groups=self.deformable_groups)


def _shortcut(channels: int, out_channels: int, stride: int, norms: _Norms) -> nn.Sequential | None:
    if stride == 1 and channels == out_channels:
        return None
    conv = SmallConv2d(channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(conv, norms(out_channels))


class _BasicBlock(nn.Module):
    expansion = 1

    def __init__(
        self, channels: int, width: int, stride: int, norms: _Norms, middle: _Middle
    ) -> None:
        super().__init__()
        self.conv1 = SmallConv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = norms(width)
        self.conv2 = SmallConv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = norms(width)
        self.downsample = _shortcut(channels, width, stride, norms)

    @property
    def last_norm(self) -> nn.Module:
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        out = conv_norm(x, self.conv1, self.bn1).relu_()
        out = conv_norm(out, self.conv2, self.bn2)
        skip = x if self.downsample is None else conv_norm(x, *self.downsample)
        return out.add_(skip).relu_()


class _Bottleneck(nn.Module):
    expansion = 4

    def __init__(
        self, channels: int, width: int, stride: int, norms: _Norms, middle: _Middle
    ) -> None:
        super().__init__()
        inner = width * middle.width_per_group // 64 * middle.groups
        self.conv1 = SmallConv2d(channels, inner, 1, bias=False)
        self.bn1 = norms(inner)
        # "pytorch style": the 3x3 convolution carries the stride.
        self.conv2 = middle(inner, stride)
        self.bn2 = norms(inner)
        self.conv3 = SmallConv2d(inner, width * 4, 1, bias=False)
        self.bn3 = norms(width * 4)
        self.downsample = _shortcut(channels, width * 4, stride, norms)

    @property
    def last_norm(self) -> nn.Module:
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        out = conv_norm(x, self.conv1, self.bn1).relu_()
        out = conv_norm(out, self.conv2, self.bn2).relu_()
        out = conv_norm(out, self.conv3, self.bn3)
        skip = x if self.downsample is None else conv_norm(x, *self.downsample)
        return out.add_(skip).relu_()


def _architecture(depth: int, groups: int, width_per_group: int) -> str:
    """Return torchvision's name of a network."""
    if groups == 1 and width_per_group == 64:
        return f"resnet{depth}"
    return f"resnext{depth}_{groups}x{width_per_group}d"


class ResNet(nn.Module):
    """ResNet-18/34/50/101/152 that returns the maps of its stages, in channels-last memory format.

    He et al., 2016; with ``groups`` it is ResNeXt (Xie et al., 2017), with ``deformable_stages`` it
    has modulated deformable convolutions (Zhu et al., 2019). Parameters and buffers carry the names
    of torchvision (``conv1``, ``layer1.0.bn1``, ...); deformable convolutions have a further
    ``conv_offset``.

    Args:
        depth: One of 18, 34, 50, 101, 152.
        base_width: Channels of the stem and of the first stage; 64 is the published network.
        frozen_stages: 0 trains everything; n > 0 freezes the stem and the first n stages, which
            then run without gradient and with frozen statistics.
        norm: "frozen" (statistics fixed, folded into the convolutions) or "batch" (trained).
        norm_affine_trainable: Whether scale and shift of frozen normalisation are trained.
        weights: None (random), "imagenet" (torchvision's, cached), or a file with a state dict.
        zero_init_residual: Start every residual branch at zero (only without ``weights``).
        out_stages: Stages whose maps are returned, 1 to 4 for C2 to C5.
        groups: Groups of the bottlenecks' 3x3 convolutions.
        width_per_group: Channels of a group in the first stage, at ``base_width`` 64.
        deformable_stages: Stages whose 3x3 convolutions are deformable; needs bottlenecks.
        deformable_groups: Groups of channels with offsets of their own.

    Attributes:
        out_channels: Channels of the returned maps.

    Raises:
        ValueError: An argument is out of range, or a weights file does not fit.
        OSError: ImageNet weights are neither cached nor downloadable.
    """

    def __init__(
        self,
        depth: int,
        base_width: int = 64,
        frozen_stages: int = 1,
        norm: Literal["frozen", "batch"] = "frozen",
        norm_affine_trainable: bool = True,
        weights: str | Path | None = None,
        zero_init_residual: bool = True,
        out_stages: Sequence[int] = (1, 2, 3, 4),
        groups: int = 1,
        width_per_group: int = 64,
        deformable_stages: Sequence[int] = (),
        deformable_groups: int = 4,
    ) -> None:
        super().__init__()
        if depth not in _LAYOUTS:
            raise ValueError(f"Expected `depth` to be one of {[*_LAYOUTS]}, but got {depth}.")
        check_choice("norm", norm, ("frozen", "batch"))
        check_at_least(1, base_width=base_width)
        if frozen_stages not in range(5):
            raise ValueError(f"Expected `frozen_stages` to be in 0..4, but got {frozen_stages}.")
        if not out_stages or list(out_stages) != sorted({*out_stages} & {1, 2, 3, 4}):
            raise ValueError(
                f"Expected `out_stages` to be increasing numbers in 1..4, but got {[*out_stages]}."
            )
        bottleneck, blocks = _LAYOUTS[depth]
        if not {*deformable_stages} <= {1, 2, 3, 4}:
            raise ValueError(
                f"Expected `deformable_stages` to be numbers in 1..4, "
                f"but got {[*deformable_stages]}."
            )
        for name, value, default in (
            ("groups", groups, 1),
            ("width_per_group", width_per_group, 64),
            ("deformable_stages", [*deformable_stages], []),
        ):
            if not bottleneck and value != default:
                raise ValueError(
                    f"Expected `{name}` to be {default} at depth {depth}, which has no "
                    f"bottlenecks, but got {value}."
                )
        inner = base_width * width_per_group // 64
        if groups < 1 or inner < 1:
            raise ValueError(
                f"Expected `groups` and `width_per_group` to give every group a channel, "
                f"but got {groups} and {width_per_group}."
            )
        if deformable_stages and (deformable_groups < 1 or inner * groups % deformable_groups):
            raise ValueError(
                f"Expected `deformable_groups` to divide the {inner * groups} channels, "
                f"but got {deformable_groups}."
            )
        block = _Bottleneck if bottleneck else _BasicBlock
        trained = _Norms(norm, norm_affine_trainable)
        frozen = _Norms("frozen", affine_trainable=False)
        self.frozen_stages = frozen_stages
        self.out_stages = tuple(out_stages)

        self.conv1 = nn.Conv2d(3, base_width, 7, 2, 3, bias=False)
        self.bn1 = (frozen if frozen_stages else trained)(base_width)
        channels = base_width
        for stage in range(1, max(out_stages) + 1):
            width, stride = base_width * 2 ** (stage - 1), 1 if stage == 1 else 2
            layers = []
            offsets = deformable_groups if stage in deformable_stages else None
            middle = _Middle(groups, width_per_group, offsets)
            for i in range(blocks[stage - 1]):
                norms = frozen if stage <= frozen_stages else trained
                layers.append(block(channels, width, stride if i == 0 else 1, norms, middle))
                channels = width * block.expansion
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
        self.out_channels = [base_width * 2 ** (s - 1) * block.expansion for s in out_stages]

        self._init_weights(zero_init_residual)
        if weights is not None:
            load_resnet_weights(self, _architecture(depth, groups, width_per_group), weights)
        if frozen_stages:
            frozen_parts: list[nn.Module] = [self.conv1, self.bn1]
            frozen_parts += [self._stage(s) for s in self._stages() if s <= frozen_stages]
            for part in frozen_parts:
                part.requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _stages(self) -> range:
        return range(1, max(self.out_stages) + 1)

    def _stage(self, stage: int) -> nn.Module:
        # Not `get_submodule`, which torch.export cannot follow before torch 2.7.
        layer: nn.Module = getattr(self, f"layer{stage}")
        return layer

    def _init_weights(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for module in self.modules():
            if isinstance(module, DeformableConv):
                nn.init.zeros_(module.conv_offset.weight)
            elif zero_init_residual and isinstance(module, (_BasicBlock, _Bottleneck)):
                nn.init.zeros_(module.last_norm.weight)  # type: ignore[arg-type]

    def _stem(self, images: Tensor) -> Tensor:
        x = conv_norm(images, self.conv1, self.bn1).relu_()
        return F.max_pool2d(x, 3, 2, 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps of ``out_stages``.

        Args:
            images: ``(B, 3, H, W)``.

        Returns:
            One ``(B, C_s, H / 2^(s+1), W / 2^(s+1))`` map a stage, sizes rounded up.
        """
        x = images.contiguous(memory_format=torch.channels_last)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen_stages):
            x = self._stem(x)
        maps = []
        for stage in self._stages():
            frozen = stage <= self.frozen_stages
            with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
                x = self._stage(stage)(x)
            if stage in self.out_stages:
                maps.append(x)
        return maps
