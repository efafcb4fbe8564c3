"""3x3 convolution of feature maps that share its weights; on CPU by Winograd's algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from corrlight.ops import winograd

__all__ = ["PyramidConv"]

# Below these, transforming weights and tiles costs more than the multiplications saved.
_MIN_IN_CHANNELS, _MIN_OUT_CHANNELS, _MIN_TILES = 128, 64, 48


class PyramidConv(nn.Conv2d):
    """3x3 convolution with stride 1 and padding 1 of the maps of several levels.

    Wide float32 maps on CPU are convolved by Winograd's algorithm, all levels at once, which needs
    a quarter of the multiplications; everything else by PyTorch's own operator. The two agree up to
    rounding (about 1e-5 of the largest output).
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 3, 1, 1, bias=bias)
        self._kept: tuple[tuple[int, int], Tensor] | None = None

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
        transformed = self._transformed_weight()
        inputs = (self.weight, *maps, *([] if self.bias is None else [self.bias]))
        if torch.is_grad_enabled() and any(t.requires_grad for t in inputs):
            return list(_WinogradConv.apply(self.weight, self.bias, transformed, *maps))
        return winograd.convolve(maps, transformed, self.bias)[0]

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
        )

    def _transformed_weight(self) -> Tensor:
        """Return the transformed weight, computed again in the same memory when it changes."""
        key = (self.weight.data_ptr(), self.weight._version)
        if self._kept is None or self._kept[0] != key:
            # Made in inference mode, it could not be used for training afterwards.
            with torch.inference_mode(False), torch.no_grad():
                out = (
                    self._kept[1]
                    if self._kept
                    else self.weight.new_empty(36, *self.weight.shape[:2])
                )
                self._kept = (key, winograd.transform_weight(self.weight.detach(), out))
        return self._kept[1]


class _WinogradConv(torch.autograd.Function):
    """:func:`winograd.convolve` with its gradients."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, bias: Tensor | None, transformed: Tensor, *maps: Tensor
    ) -> tuple[Tensor, ...]:
        outputs, spectra = winograd.convolve(maps, transformed, bias, keep=ctx.needs_input_grad[0])
        ctx.num_spectra = len(spectra)
        # With the spectra at hand the maps are not needed again.
        ctx.save_for_backward(transformed, *spectra, *(() if spectra else maps))
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        transformed, *kept = ctx.saved_tensors
        spectra, maps = kept[: ctx.num_spectra], kept[ctx.num_spectra :]
        wants_weight, wants_bias, _, *wants_maps = ctx.needs_input_grad
        weight, of_maps = winograd.convolve_backward(
            gradients, transformed, maps, spectra, wants_weight, any(wants_maps)
        )
        bias = None
        if wants_bias:
            bias = torch.stack([g.sum((0, 2, 3)) for g in gradients]).sum(0)
        return weight, bias, None, *of_maps
