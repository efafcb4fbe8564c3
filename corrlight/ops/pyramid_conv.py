"""3x3 convolution of feature maps that share its weights; on CPU by Winograd's algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from corrlight.ops import winograd
from corrlight.ops.switch import is_on

__all__ = ["PyramidConv"]

# Below these, transforming weights and tiles costs more than the multiplications saved.
_MIN_IN_CHANNELS, _MIN_OUT_CHANNELS, _MIN_TILES = 128, 64, 48


class _Kept(NamedTuple):
    """What is kept between inferences: a copy of the weight, its transform, and for how many tiles.

    Packed, the transform is for that number alone.
    """

    weight: Tensor
    num_tiles: int
    transformed: Tensor


class PyramidConv(nn.Conv2d):
    """3x3 convolution with stride 1 and padding 1 of the maps of several levels.

    Equals ``torch.nn.functional.conv2d`` of every level, up to rounding (about 1e-5 of the largest
    output). Wide float32 maps on CPU are convolved by Winograd's algorithm, all levels at once,
    which needs a quarter of the multiplications; everything else by PyTorch's own operator.
    Differentiable once on the fast path.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 3, 1, 1, bias=bias)
        self._kept: _Kept | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:  # type: ignore[override]
        """Return the convolved maps.

        Args:
            maps: ``(B, C, H_l, W_l)`` a level.

        Returns:
            ``(B, K, H_l, W_l)`` a level.
        """
        if not self._winograd_pays(maps):
            return [F.conv2d(m, self.weight, self.bias, padding=1) for m in maps]
        inputs = (self.weight, *maps, *([] if self.bias is None else [self.bias]))
        if torch.is_grad_enabled() and any(t.requires_grad for t in inputs):
            self._kept = None  # The next step changes the weight.
            return list(_WinogradConv.apply(self.weight, self.bias, *maps))
        transformed = self._transformed_weight(maps)
        return winograd.convolve(maps, transformed, self.out_channels, self.bias)[0]

    def _winograd_pays(self, maps: Sequence[Tensor]) -> bool:
        return (
            self.weight.device.type == "cpu"
            and self.weight.dtype == torch.float32
            and all(m.dtype == torch.float32 for m in maps)
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
            and self.in_channels >= _MIN_IN_CHANNELS
            and self.out_channels >= _MIN_OUT_CHANNELS
            and winograd.num_tiles(maps) >= _MIN_TILES
            and is_on("pyramid_conv")
        )

    def _transformed_weight(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the transform of the weight, computed again unless the weight is what it was.

        Values are compared, a tenth of the transform's work: addresses and version counters miss
        what is written through ``.data``.
        """
        weight, num, kept = self.weight.detach(), winograd.num_tiles(maps), self._kept
        if kept is not None and not torch.equal(kept.weight, weight):
            kept = None
        again = kept is not None and kept.num_tiles == num
        if kept is not None and again and kept.transformed.is_mkldnn:
            return kept.transformed
        # Made in inference mode, they could not be used outside of it.
        with torch.inference_mode(False), torch.no_grad():
            if kept is None or kept.transformed.is_mkldnn:
                transformed = winograd.transform_weight(weight)
            else:
                transformed = kept.transformed
            if again:
                # Images are either of one size or hardly ever of the same twice in a row.
                transformed = winograd.pack_weight(transformed, maps)
            copy = weight.clone() if kept is None else kept.weight
            self._kept = _Kept(copy, num, transformed)
        return transformed


class _WinogradConv(torch.autograd.Function):
    """:func:`winograd.convolve` with its gradients."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, *maps: Tensor) -> tuple[Tensor, ...]:
        transformed = winograd.transform_weight(weight)
        keep = ctx.needs_input_grad[0]
        outputs, spectra = winograd.convolve(maps, transformed, len(weight), bias, keep)
        ctx.num_spectra = len(spectra)
        # With the spectra at hand the maps are not needed again. The weight is transformed again:
        # four times its size, a kept transform would push everything else out of the cache.
        ctx.save_for_backward(weight, *spectra, *(() if spectra else maps))
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, *kept = ctx.saved_tensors
        spectra, maps = kept[: ctx.num_spectra], kept[ctx.num_spectra :]
        wants_weight, wants_bias, *wants_maps = ctx.needs_input_grad
        transformed = winograd.transform_weight(weight)
        of_weight, of_maps = winograd.convolve_backward(
            gradients, transformed, maps, spectra, wants_weight, any(wants_maps)
        )
        bias = None
        if wants_bias:
            bias = torch.stack([g.sum((0, 2, 3)) for g in gradients]).sum(0)
        return of_weight, bias, *of_maps
