"""Any backbone of timm that gives maps at strides 4 to 32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from corrlight.arguments import check_choice
from corrlight.backbones.weights import read_state_dict

__all__ = ["Timm"]

_STRIDES = (4, 8, 16, 32)
# Height and width of the trial, unequal and multiples of the coarsest stride.
_TRIAL = (64, 96)
# The least share of a network's numbers that a file of its weights holds, classifier apart.
_LEAST = 0.5


class Timm(nn.Module):
    """A network of timm as a backbone, with the interface of :class:`corrlight.backbones.ResNet`.

    Args:
        name: timm's name, with or without a tag of its weights ("mobilenetv3_small_100").
        weights: None (random), "pretrained" (timm's, from its cache or the network), or a file
            with a state dict in timm's names.
        norm: "batch" trains batch normalisation, "frozen" keeps statistics and affine parts, as
            for pretrained weights with few pictures a step. Other normalisations do not depend on
            the batch and are trained.
        out_stages: Stages whose maps are returned, 1 to 4 for strides 4 to 32.
        mean: Of the data, in 0..255: pictures arrive normalised by it.
        std: Of the data, likewise.
        options: Further arguments of ``timm.create_model``; windowed transformers need
            ``strict_img_size=False`` for pictures of any size.

    Attributes:
        out_channels: Channels of the returned maps.

    Raises:
        ValueError: timm is not there, does not know the network, or it has not these strides.
        OSError: The weights are neither cached nor downloadable.
    """

    scale: Tensor | None
    shift: Tensor | None

    def __init__(
        self,
        name: str,
        weights: str | Path | None = None,
        norm: Literal["batch", "frozen"] = "batch",
        out_stages: Sequence[int] = (1, 2, 3, 4),
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_choice("norm", norm, ("batch", "frozen"))
        if not out_stages or list(out_stages) != sorted({*out_stages} & {1, 2, 3, 4}):
            raise ValueError(
                f"Expected `out_stages` to be increasing numbers in 1..4, but got {[*out_stages]}."
            )
        self.norm = norm
        self.net, config = _create(name, weights, dict(options or {}))
        reductions = list(self.net.feature_info.reduction())
        wanted = [_STRIDES[stage - 1] for stage in out_stages]
        if not {*wanted} <= {*reductions}:
            raise ValueError(
                f"Expected `backbone.name` to be a network with maps at strides {wanted}, but "
                f"those of {name} are {reductions}."
            )
        # Of several maps at one stride, the last.
        self._kept = [len(reductions) - 1 - reductions[::-1].index(stride) for stride in wanted]
        channels = self.net.feature_info.channels()
        self.out_channels = [channels[k] for k in self._kept]
        # (x * std + mean - theirs) / their std, where timm's weights expect another one than ours.
        theirs, spread = (255 * torch.tensor(config[key]) for key in ("mean", "std"))
        scale = torch.tensor([float(v) for v in std]) / spread
        shift = (torch.tensor([float(v) for v in mean]) - theirs) / spread
        differs = weights is not None and not (
            torch.allclose(scale, torch.ones(3), atol=1e-3)
            and torch.allclose(shift, torch.zeros(3), atol=1e-3)
        )
        self.register_buffer("scale", scale.view(3, 1, 1) if differs else None, persistent=False)
        self.register_buffer("shift", shift.view(3, 1, 1) if differs else None, persistent=False)
        if norm == "frozen":
            for module in self._batch_norms():
                module.requires_grad_(False)
        self._try(name)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _batch_norms(self) -> list[nn.BatchNorm2d]:
        return [m for m in self.net.modules() if isinstance(m, nn.BatchNorm2d)]

    def _try(self, name: str) -> None:
        """Run a small picture through: what the network says of itself is not always so."""
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                maps = self(torch.zeros(1, 3, *_TRIAL))
        except (AssertionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"Expected `backbone.name` to be a network for pictures of any size, but {name} "
                f"says: {reason} (+backbone.options.strict_img_size=false helps some)."
            ) from error
        self.train(training)
        shapes = [tuple(x.shape[1:]) for x in maps]
        strides = [round(_TRIAL[0] / shape[1]) for shape in shapes]
        expected = [
            (channels, *(side // stride for side in _TRIAL))
            for channels, stride in zip(self.out_channels, strides, strict=True)
        ]
        if shapes != expected:
            raise ValueError(
                f"Expected `backbone.name` to be a network with maps of {expected} for a picture "
                f"of {_TRIAL}, but {name} gives {shapes}."
            )

    def train(self, mode: bool = True) -> Timm:
        """Switch the mode; frozen normalisation keeps its statistics in either."""
        super().train(mode)
        if self.norm == "frozen":
            for module in self._batch_norms():
                module.eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps of ``out_stages``, finest first, each ``(B, C, H / s, W / s)``."""
        if self.scale is not None and self.shift is not None:
            images = images * self.scale + self.shift
        maps = self.net(images.contiguous(memory_format=torch.channels_last))
        kept = []
        for k, channels in zip(self._kept, self.out_channels, strict=True):
            x = maps[k]
            # Some networks give channels last.
            kept.append(x if x.shape[1] == channels else x.permute(0, 3, 1, 2).contiguous())
        return kept


def _create(
    name: str, weights: str | Path | None, options: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    try:
        import timm
    except ImportError as error:
        raise ValueError(
            f"Expected the package timm for `backbone.name`={name} (pip install "
            f"'corrlight[timm]'), but {error}."
        ) from error
    if weights is not None and weights != "pretrained":
        state = read_state_dict(Path(weights))
        _check_fit(timm, name, options, state, weights)
        options["pretrained_cfg_overlay"] = {"state_dict": state}
    try:
        net = timm.create_model(name, pretrained=weights is not None, features_only=True, **options)
    except (RuntimeError, TypeError, AttributeError, KeyError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        near = ", ".join(timm.list_models(f"*{name.split('_')[0].split('.')[0]}*")[:5])
        known = f" (such as {near})" if near else ""
        raise ValueError(
            f"Expected `backbone.name` to be a network of timm {timm.__version__} that gives "
            f"features{known}, but {name} says: {reason}."
        ) from error
    except OSError as error:
        reason = " ".join(str(error).split())[:200]
        raise OSError(
            f"Weights of {name} are not cached and cannot be downloaded ({reason}); give a file as "
            "`backbone.weights=FILE`, or train from scratch with `backbone.weights=null`."
        ) from error
    config = net.pretrained_cfg
    return net, {key: _entry(config, key) for key in ("mean", "std")}


def _entry(config: Any, key: str) -> Any:
    return config[key] if isinstance(config, Mapping) else getattr(config, key)


def _check_fit(
    timm: Any, name: str, options: Mapping[str, Any], state: Mapping[str, Tensor], path: object
) -> None:
    """Refuse another network's file: timm takes what fits of it and says nothing."""
    with torch.device("meta"):
        own = timm.create_model(name, num_classes=0, **options).state_dict()
    fits = sum(v.numel() for k, v in own.items() if k in state and state[k].shape == v.shape)
    share = fits / max(1, sum(v.numel() for v in own.values()))
    if share < _LEAST:
        raise ValueError(
            f"Expected `weights` to fit timm's {name}, but {share:.0%} of its numbers are in "
            f"{path} by name and shape."
        )
