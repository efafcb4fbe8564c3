"""Winograd's algorithm F(4x4, 3x3) for convolutions on CPU (Lavin and Gray, 2016).

Equals ``torch.nn.functional.conv2d`` with stride 1 and padding 1; :mod:`corrlight.ops.pyramid_conv`
is the operator that detectors use.

A 4x4 tile of outputs needs 36 instead of 144 multiplications a pair of channels: input tiles,
weights and outputs are transformed, and the products of each of the 36 positions are one matrix
product over channels. Tiles of all levels and images share it, in chunks that stay in the cache.

Letters: C input channels, K output channels, T tiles of a chunk; maps are ``(B, C, H, W)`` in
channels-last memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from corrlight.ops.product import (
    WIDE,
    add_weight_gradient,
    batch_product,
    batch_product_backward,
    packed,
    product,
)

__all__ = ["convolve", "convolve_backward", "num_tiles", "pack_weight", "transform_weight"]

# Tiles worked on at a time: enough for the matrix products to run at full speed.
_CHUNK = 320
# Up to so many tiles the forward pass keeps its spectrum for the gradient of the weight, which is
# 2.25 times the input's memory; beyond, the backward pass computes it again.
_KEPT = 512


class _Transform:
    """``matrix @ tile @ matrix.T`` of tiles.

    Args:
        matrix: ``(r, s)``.
    """

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix.contiguous()
        self.both = torch.kron(matrix, matrix).contiguous()

    @property
    def transposed(self) -> _Transform:
        """The transform by the transposed matrix."""
        return _Transform(self.matrix.T)

    def __call__(self, tiles: Tensor) -> Tensor:
        """Return the ``(r * r, ...)`` transforms of ``(s * s, ...)`` tiles."""
        to, size = self.matrix.shape
        if WIDE:
            # Both directions at once: reading twice takes longer than the multiplications.
            flat = product(self.both, tiles.view(size * size, -1).T)
        else:
            half = torch.mm(self.matrix, tiles.view(size, -1)).view(to, size, -1)
            flat = torch.matmul(self.matrix, half)
        return flat.view(to * to, *tiles.shape[1:])


# Interpolation at 0, 1, -1, 2, -2 and infinity; Equation 10 of the paper's appendix.
_INPUT = _Transform(
    torch.tensor(
        [
            [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
            [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
            [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
            [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
            [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
            [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
        ]
    )
)
_WEIGHT = _Transform(
    torch.tensor(
        [
            [1 / 4, 0.0, 0.0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0.0, 0.0, 1.0],
        ]
    )
)
_OUTPUT = _Transform(
    torch.tensor(
        [
            [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
            [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
            [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
            [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
        ]
    )
)
_INPUT_T, _WEIGHT_T, _OUTPUT_T = _INPUT.transposed, _WEIGHT.transposed, _OUTPUT.transposed


class _Scratch(threading.local):
    """Memory that is used again by every chunk: fresh pages would cost more than the arithmetic."""

    def __init__(self) -> None:
        self.buffers: dict[str, Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor:
        size = torch.Size(shape).numel()
        buffer = self.buffers.get(name)
        if buffer is None or buffer.numel() < size:
            # Made in inference mode, it could not be written to outside.
            with torch.inference_mode(False):
                buffer = self.buffers[name] = torch.empty(size)
        return buffer[:size].view(shape)


_scratch = _Scratch()


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of tiles of one image on one level."""

    level: int
    image: int
    start: int
    stop: int
    width: int

    @property
    def num_tiles(self) -> int:
        return (self.stop - self.start) * self.width


def _grid(level: Tensor) -> tuple[int, int]:
    """Return the rows and columns of tiles that cover a ``(B, C, H, W)`` map."""
    return -(-level.shape[2] // 4), -(-level.shape[3] // 4)


def num_tiles(maps: Sequence[Tensor]) -> int:
    """Return the number of 4x4 tiles that cover maps ``(B, C, H_l, W_l)``."""
    return sum(m.shape[0] * _grid(m)[0] * _grid(m)[1] for m in maps)


def _chunks(grids: Sequence[tuple[int, int]], batch: int) -> Iterator[list[_Rows]]:
    """Yield all rows of tiles, cut into chunks of about ``_CHUNK`` tiles."""
    chunk: list[_Rows] = []
    room = _CHUNK
    for image in range(batch):
        for level, (height, width) in enumerate(grids):
            start = 0
            while start < height:
                # Whole rows: a chunk is then a few strided copies. Small levels share one.
                stop = min(height, start + max(room // width, 1))
                chunk.append(_Rows(level, image, start, stop, width))
                room -= chunk[-1].num_tiles
                start = stop
                if room <= 0 or (start < height and room < width):
                    yield chunk
                    chunk, room = [], _CHUNK
    if chunk:
        yield chunk


def transform_weight(weight: Tensor) -> Tensor:
    """Return the ``(36, K, C)`` transform of a ``(K, C, 3, 3)`` weight."""
    return _WEIGHT(weight.permute(2, 3, 0, 1).reshape(9, *weight.shape[:2]).contiguous())


def pack_weight(transformed: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """Return a transformed weight in a layout in which maps of these sizes are convolved fastest.

    Args:
        transformed: ``(36, K, C)`` of :func:`transform_weight`, which stays the same for long.
        maps: ``(B, C, H_l, W_l)`` a level.
    """
    num = num_tiles(maps)
    # The layout is one for a number of tiles, and chunks have different ones.
    return packed(transformed, num) if num <= _CHUNK else transformed


def _padded(maps: Sequence[Tensor]) -> list[Tensor]:
    """Return the maps as ``(B, 4 h + 2, 4 w + 2, C)`` for h by w tiles, zero around them."""
    padded = []
    for m in maps:
        batch, channels, height, width = m.shape
        h, w = _grid(m)
        whole = m.new_empty(batch, 4 * h + 2, 4 * w + 2, channels)
        # The border alone is set: all of it, as `torch.nn.functional.pad` does, is twice the work.
        whole[:, 0], whole[:, height + 1 :] = 0, 0
        whole[:, :, 0], whole[:, :, width + 1 :] = 0, 0
        whole[:, 1 : height + 1, 1 : width + 1] = m.permute(0, 2, 3, 1)
        padded.append(whole)
    return padded


def _spectrum(chunk: Sequence[_Rows], padded: Sequence[Tensor]) -> Tensor:
    """Return the ``(36, T, C)`` transform of a chunk's overlapping 6x6 tiles.

    Args:
        chunk: Rows of tiles.
        padded: Maps of :func:`_padded`.
    """
    num, channels = sum(r.num_tiles for r in chunk), padded[0].shape[-1]
    tiles = _scratch("a", 6, 6, num, channels)
    offset = 0
    for r in chunk:
        # All overlapping tiles as one view, so that the gathering is a single copy.
        source = padded[r.level]
        image, row, column, _ = source.stride()
        shape = (6, 6, r.stop - r.start, r.width, channels)
        view = source.as_strided(
            shape,
            (row, column, 4 * row, 4 * column, 1),
            source.storage_offset() + r.image * image + 4 * r.start * row,
        )
        tiles[:, :, offset : offset + r.num_tiles].unflatten(2, shape[2:4]).copy_(view)
        offset += r.num_tiles
    return _INPUT(tiles.view(36, num, channels))


def convolve(
    maps: Sequence[Tensor],
    transformed: Tensor,
    num_out: int,
    bias: Tensor | None,
    keep: bool = False,
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the 3x3 convolutions, stride 1 and padding 1, of several maps.

    Args:
        maps: ``(B, C, H_l, W_l)`` float32 a level.
        transformed: ``(36, K, C)`` of :func:`transform_weight`, or of :func:`pack_weight`.
        num_out: K.
        bias: ``(K,)``, or None.
        keep: Whether the spectra are wanted, for :func:`convolve_backward`.

    Returns:
        ``(B, K, H_l, W_l)`` a level, channels-last; and one ``(36, T, C)`` spectrum a chunk, none
        if they are not kept or would take too much memory.
    """
    batch = maps[0].shape[0]
    keep = keep and num_tiles(maps) <= _KEPT
    spectra: list[Tensor] = []
    padded = _padded(maps)
    grids = [_grid(m) for m in maps]
    # Rows and columns are those of the map already, split into tile and place in it.
    results = [maps[0].new_empty(batch, h, 4, w, 4, num_out) for h, w in grids]
    for chunk in _chunks(grids, batch):
        num = sum(r.num_tiles for r in chunk)
        spectrum = _spectrum(chunk, padded)
        if keep:
            spectra.append(spectrum)
        products = batch_product(spectrum, transformed)
        outputs = _OUTPUT(products).view(4, 4, num, num_out)
        offset = 0
        for r in chunk:
            own = outputs[:, :, offset : offset + r.num_tiles]
            target = results[r.level][r.image, r.start : r.stop]  # (rows, 4, w, 4, K)
            target.permute(1, 3, 0, 2, 4).copy_(own.unflatten(2, (r.stop - r.start, r.width)))
            offset += r.num_tiles
    finished = []
    for m, (h, w), result in zip(maps, grids, results, strict=True):
        whole = result.view(batch, 4 * h, 4 * w, num_out)
        cropped = whole[:, : m.shape[2], : m.shape[3]].contiguous()
        if bias is not None:
            cropped += bias
        finished.append(cropped.permute(0, 3, 1, 2))
    return finished, spectra


def convolve_backward(
    gradients: Sequence[Tensor],
    transformed: Tensor,
    maps: Sequence[Tensor] = (),
    spectra: Sequence[Tensor] = (),
    wants_weight: bool = True,
    wants_maps: bool = True,
) -> tuple[Tensor | None, list[Tensor | None]]:
    """Return the gradients of :func:`convolve` with respect to the weight and the maps.

    Args:
        gradients: ``(B, K, H_l, W_l)`` of the outputs.
        transformed: ``(36, K, C)`` weight.
        maps: ``(B, C, H_l, W_l)`` inputs; needed for the weight's gradient without ``spectra``.
        spectra: What :func:`convolve` kept of the inputs.
        wants_weight: Whether the first result is needed; else it is None.
        wants_maps: Whether the second is needed; else it holds None.

    Returns:
        ``(K, C, 3, 3)``, and one ``(B, C, H_l, W_l)`` a level.
    """
    # The forward pass is linear: its matrices, transposed, in the opposite order.
    num_out, num_in = transformed.shape[1:]
    batch = gradients[0].shape[0]
    grids = [_grid(g) for g in gradients]
    sources = _output_tiles(gradients)
    padded = _padded(maps) if wants_weight and not spectra else []
    of_weight = _scratch("weight", 36, num_out, num_in)
    # One tile of margin at the bottom and on the right, for the overlap.
    of_maps = [
        _scratch(f"level {i}", batch, h + 1, 4, w + 1, 4, num_in).zero_()
        for i, (h, w) in enumerate(grids)
    ]
    for i, chunk in enumerate(_chunks(grids, batch)):
        num = sum(r.num_tiles for r in chunk)
        outputs = _scratch("c", 4, 4, num, num_out)
        offset = 0
        for r in chunk:
            own = outputs[:, :, offset : offset + r.num_tiles]
            source = sources[r.level][r.image, r.start : r.stop].permute(1, 3, 0, 2, 4)
            own.unflatten(2, (r.stop - r.start, r.width)).copy_(source)
            offset += r.num_tiles
        products = _OUTPUT_T(outputs.view(16, num, num_out))
        if wants_weight:
            spectrum = spectra[i] if spectra else _spectrum(chunk, padded)
            add_weight_gradient(of_weight, products, spectrum, first=i == 0)
        if wants_maps:
            of_spectrum = batch_product_backward(products, transformed)
            del products  # A chunk's tensors are tens of MB.
            _add_tiles(of_maps, chunk, _INPUT_T(of_spectrum).view(6, 6, num, num_in))
            del of_spectrum
    cropped: list[Tensor | None] = [None] * len(gradients)
    if wants_maps:
        for i, (g, (h, w)) in enumerate(zip(gradients, grids, strict=True)):
            whole = of_maps[i].view(batch, 4 * h + 4, 4 * w + 4, num_in)
            inner = whole[:, 1 : g.shape[2] + 1, 1 : g.shape[3] + 1]
            cropped[i] = inner.clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
    if not wants_weight:
        return None, cropped
    taps = _WEIGHT_T(of_weight).view(3, 3, num_out, num_in)
    return taps.permute(2, 3, 0, 1).clone(memory_format=torch.channels_last), cropped


def _output_tiles(gradients: Sequence[Tensor]) -> list[Tensor]:
    """Return ``(B, h, 4, w, 4, K)`` views or padded copies of ``(B, K, H_l, W_l)`` maps."""
    tiled = []
    for g in gradients:
        h, w = _grid(g)
        rows, columns = 4 * h - g.shape[2], 4 * w - g.shape[3]
        last = g.permute(0, 2, 3, 1)
        if rows or columns:
            last = F.pad(last, (0, 0, 0, columns, 0, rows))
        tiled.append(last.reshape(g.shape[0], h, 4, w, 4, g.shape[1]))
    return tiled


def _add_tiles(maps: Sequence[Tensor], chunk: Sequence[_Rows], tiles: Tensor) -> None:
    """Add ``(6, 6, T, C)`` tiles, each reaching 2 pixels into its neighbours, onto the maps."""
    offset = 0
    for r in chunk:
        own = tiles[:, :, offset : offset + r.num_tiles]
        own = own.unflatten(2, (r.stop - r.start, r.width)).permute(2, 0, 3, 1, 4)
        target = maps[r.level][r.image]  # (h + 1, 4, w + 1, 4, C)
        here, below = slice(r.start, r.stop), slice(r.start + 1, r.stop + 1)
        target[here, :, :-1] += own[:, :4, :, :4]
        target[below, :2, :-1] += own[:, 4:, :, :4]
        target[here, :, 1:, :2] += own[:, :4, :, 4:]
        target[below, :2, 1:, :2] += own[:, 4:, :, 4:]
        offset += r.num_tiles
