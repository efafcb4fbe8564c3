"""RoIAlign over a whole feature pyramid at once.

Bilinear sampling makes every output cell a weighted sum of a few feature vectors: one row of a
sparse matrix. With the pyramid laid out as one table of feature vectors, all boxes of all images on
all levels are a single ``embedding_bag``; its gradient is another, with the matrix transposed.
torchvision's operator runs one level at a time and, on CPU, on one thread (100 boxes x 256
channels, two threads: 105 ms forward and backward, against 4.5 ms here). On other devices its
gradient is not deterministic, so they use the table whatever the switch says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torchvision
from torch import Tensor

from corrlight.modes.tracing import is_exporting, tensor_of_sizes
from corrlight.ops.switch import is_on
from corrlight.ops.weighted_rows import ragged_rows, weighted_rows

__all__ = ["FeatureTable", "roi_align", "roi_align_rows"]


# Samples of a cell's side at most: only boxes far larger than any picture would have more.
_MOST_SAMPLES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTable:
    """A feature pyramid as a table of feature vectors.

    Attributes:
        levels: ``(B, C, H_l, W_l)`` maps; fp32 or better.
        rows: ``(R, C)`` level by level, image by image, row-major cells; None where torchvision's
            operator reads the levels instead.
        sizes: ``(L, 2)`` height and width of the levels.
        starts: ``(L,)`` first row of each level.
        strides: ``(L,)`` input pixels a cell.
    """

    levels: tuple[Tensor, ...]
    rows: Tensor | None
    sizes: Tensor
    starts: Tensor
    strides: Tensor

    @classmethod
    def from_levels(
        cls, levels: Sequence[Tensor], strides: Sequence[int], *, adaptive: bool = False
    ) -> FeatureTable:
        """Return the table of ``levels`` ``(B, C, H_l, W_l)``, made once for all later calls.

        Args:
            levels: The maps.
            strides: Input pixels a cell, one a level.
            adaptive: Whether it will be read with ``sampling_ratio`` 0, which needs no rows on
                other devices than CPU.

        Raises:
            ValueError: The numbers of levels and strides differ.
        """
        if len(levels) != len(strides):
            raise ValueError(
                f"Expected `strides` to name one of the {len(levels)} levels each, "
                f"but got {list(strides)}."
            )
        half = (torch.float16, torch.bfloat16)
        full = tuple(level.float() if level.dtype in half else level for level in levels)
        rows = None
        on_cpu = full[0].device.type == "cpu"
        if is_on("roi_align") if on_cpu else not adaptive:
            # Channels-last maps are (cells, C) matrices already: permuting costs nothing there.
            rows = torch.cat([level.permute(0, 2, 3, 1).flatten(0, 2) for level in full])
        counts = [batch * height * width for batch, _, height, width in (m.shape for m in full)]
        numbers = [
            [*level.shape[2:], sum(counts[:i]), stride]
            for i, (level, stride) in enumerate(zip(full, strides, strict=True))
        ]
        # One transfer for all the small numbers.
        table = tensor_of_sizes(numbers, full[0].device)
        sizes, start, stride = table.split([2, 1, 1], 1)
        return cls(
            levels=full, rows=rows, sizes=sizes, starts=start.squeeze(1), strides=stride.squeeze(1)
        )


def roi_align(
    table: FeatureTable,
    boxes: Tensor,
    output_size: int = 7,
    sampling_ratio: int = 2,
    finest_scale: float = 56.0,
) -> Tensor:
    """Return the features inside boxes, by RoIAlign (He et al., 2017) without the half-pixel shift.

    A box is read from level ``floor(log2(sqrt(w h) / finest_scale))``, clamped to the levels (FPN,
    Lin et al., 2017, Eq. 1). Equals ``torchvision.ops.roi_align(aligned=True)`` of that level.

    Args:
        table: The pyramid.
        boxes: ``(B, N, 4)`` xyxy in input pixels. They receive no gradient.
        output_size: Cells S a side.
        sampling_ratio: Samples a side in each cell; 0 for one a cell of the level that it covers,
            at least 1. Of other devices than CPU torchvision's operator has that alone, and its
            gradient is not deterministic.
        finest_scale: Boxes up to twice this size are read from the finest level.

    Returns:
        ``(B, N, S * S, C)``, cells row-major.
    """
    batch, num_boxes, _ = boxes.shape
    image = torch.arange(batch, device=boxes.device).repeat_interleave(num_boxes)
    pooled = roi_align_rows(
        table, boxes.flatten(0, 1), image, output_size, sampling_ratio, finest_scale
    )
    return pooled.view(batch, num_boxes, *pooled.shape[1:])


def roi_align_rows(
    table: FeatureTable,
    boxes: Tensor,
    image: Tensor,
    output_size: int = 7,
    sampling_ratio: int = 2,
    finest_scale: float = 56.0,
) -> Tensor:
    """Return ``(K, S * S, C)`` features inside ``(K, 4)`` boxes of images ``(K,)``.

    See :func:`roi_align`.
    """
    flat = boxes.detach()
    level = _level_of(flat, len(table.levels), finest_scale)
    if table.rows is None:
        pooled = _level_by_level(table, flat, image, level, output_size, sampling_ratio)
    elif sampling_ratio == 0 and len(flat):
        with torch.no_grad():
            cells = _adaptive_cells(table, flat, image, level, output_size)
        pooled = ragged_rows(table.rows, *cells)
    else:
        with torch.no_grad():
            samples = max(sampling_ratio, 1)  # any number will do for no box
            index, weight = _bilinear_cells(table, flat, image, level, output_size, samples)
        if is_exporting():  # ONNX takes free sizes in no embedding bag.
            pooled = (weight[:, None] @ table.rows[index.long()]).squeeze(1)
        else:
            pooled = weighted_rows(table.rows, index, weight)
    return pooled.view(flat.shape[0], output_size * output_size, table.levels[0].shape[1])


def _level_of(boxes: Tensor, num_levels: int, finest_scale: float) -> Tensor:
    """Return the ``(K,)`` levels that ``(K, 4)`` boxes are read from."""
    scale = ((boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1).sqrt() / finest_scale + 1e-6).log2()
    # Boxes that are not finite must not become addresses.
    return scale.nan_to_num(0).floor().clamp(0, num_levels - 1).long()


def _level_by_level(
    table: FeatureTable,
    boxes: Tensor,
    image: Tensor,
    level: Tensor,
    output_size: int,
    sampling_ratio: int,
) -> Tensor:
    """Return ``(K * S * S, C)`` features by torchvision's operator."""
    # It would read from anywhere for boxes that are not finite; their features are NaN.
    finite = boxes.isfinite().all(1)
    safe = torch.cat([image[:, None], boxes.where(finite[:, None], 0)], 1)
    channels = table.levels[0].shape[1]
    pooled = table.levels[0].new_full(
        (boxes.shape[0], channels, output_size, output_size), math.nan
    )
    for i, (features, stride) in enumerate(zip(table.levels, table.strides.tolist(), strict=True)):
        mine = ((level == i) & finite).nonzero().squeeze(1)
        found = torchvision.ops.roi_align(
            features, safe[mine].to(features.dtype), output_size, 1 / stride, sampling_ratio, True
        )
        pooled = pooled.index_copy(0, mine, found)
    return pooled.flatten(2).mT.reshape(-1, channels)


def _bilinear_cells(
    table: FeatureTable,
    boxes: Tensor,
    image: Tensor,
    level: Tensor,
    output_size: int,
    sampling_ratio: int,
) -> tuple[Tensor, Tensor]:
    """Return row indices and weights ``(K * S * S, 4 * sampling_ratio ** 2)`` of every cell."""
    sizes, stride = table.sizes[level], table.strides[level]
    cells = boxes / stride[:, None] - 0.5
    # Bilinear weights are products of one weight per axis, also outside the map.
    y, weight_y = _axis(cells[:, 1], cells[:, 3], sizes[:, 0], output_size, sampling_ratio)
    x, weight_x = _axis(cells[:, 0], cells[:, 2], sizes[:, 1], output_size, sampling_ratio)
    first = table.starts[level] + image * sizes.prod(1)  # (K,)
    row = (first[:, None, None] + y * sizes[:, 1, None, None]).int()
    index = row[:, :, None, :, None] + x.int()[:, None, :, None, :]  # (K, S, S, 2r, 2r)
    weight = weight_y[:, :, None, :, None] * weight_x[:, None, :, None, :]
    return index.flatten(3).flatten(0, 2), weight.flatten(3).flatten(0, 2).to(table.levels[0].dtype)


def _sample_counts(cells: Tensor, output_size: int) -> Tensor:
    """Return how many samples ``(K, 2)`` a cell of each box has, down and across.

    Args:
        cells: ``(K, 4)`` boxes in cells of their level.
        output_size: Cells of a box a side.
    """
    sides = (cells[:, 2:] - cells[:, :2]).flip(1) / output_size
    # A number that is no number has one, so that it shows.
    return sides.ceil().nan_to_num(1).clamp(0, _MOST_SAMPLES).long()


def _adaptive_cells(
    table: FeatureTable,
    boxes: Tensor,
    image: Tensor,
    level: Tensor,
    output_size: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what cells read of the table where each box has its own numbers of samples.

    Returns:
        Row indices and weights ``(E,)``; where each cell's begin ``(K * S * S,)``; and the places
        of these cells, which come sorted by their numbers of samples.
    """
    sizes = table.sizes[level]
    cells = boxes / table.strides[level][:, None] - 0.5
    counts = _sample_counts(cells, output_size)
    first = table.starts[level] + image * sizes.prod(1)  # (K,)
    per_box = output_size * output_size
    indices, weights, lengths, places = [], [], [], []
    for down, across in counts.unique(dim=0).tolist():
        mine = ((counts[:, 0] == down) & (counts[:, 1] == across)).nonzero().squeeze(1)
        c, size = cells[mine], sizes[mine]
        y, weight_y = _merged(*_axis(c[:, 1], c[:, 3], size[:, 0], output_size, max(down, 1)))
        x, weight_x = _merged(*_axis(c[:, 0], c[:, 2], size[:, 1], output_size, max(across, 1)))
        row = (first[mine, None, None] + y * size[:, 1, None, None]).int()
        index = row[:, :, None, :, None] + x.int()[:, None, :, None, :]  # (k, S, S, h, w)
        weight = weight_y[:, :, None, :, None] * weight_x[:, None, :, None, :]
        if not (down and across):  # A box without area reads nothing.
            weight = torch.zeros_like(weight)
        indices.append(index.flatten())
        weights.append(weight.flatten())
        entries = index.shape[3] * index.shape[4]
        lengths.append(torch.full((len(mine) * per_box,), entries, device=boxes.device))
        own = torch.arange(per_box, device=boxes.device)
        places.append((mine[:, None] * per_box + own).flatten())
    index, weight = torch.cat(indices), torch.cat(weights).to(table.levels[0].dtype)
    length = torch.cat(lengths)
    return index, weight, length.cumsum(0) - length, torch.cat(places)


def _merged(index: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return neighbours and weights ``(K, S, n)`` with every cell's neighbours once.

    Samples of a cell that lie less than a pixel apart share most of theirs.
    """
    lowest = index.amin(-1, keepdim=True)
    place = index - lowest
    width = int(place.max()) + 1
    if width >= index.shape[-1]:
        return index, weight
    merged = weight.new_zeros(*weight.shape[:2], width).scatter_add_(-1, place, weight)
    neighbours = lowest + torch.arange(width, device=index.device)
    # Beyond the last one nothing has a weight.
    return torch.minimum(neighbours, index.amax(-1, keepdim=True)), merged


def _axis(
    low: Tensor, high: Tensor, size: Tensor, output_size: int, sampling_ratio: int
) -> tuple[Tensor, Tensor]:
    """Return neighbours and weights ``(K, S, 2 * sampling_ratio)`` of the samples on one axis."""
    num_samples = output_size * sampling_ratio
    steps = torch.arange(num_samples, device=low.device) + 0.5
    position = low[:, None] + steps * ((high - low) / num_samples)[:, None]  # (K, S * r)
    last = (size - 1)[:, None]
    # A sample within one cell outside the map takes the border's value, farther out it is 0.
    inside = (position >= -1) & (position <= size[:, None])
    position = torch.minimum(position.clamp(min=0), last.to(position.dtype))
    before = position.floor()
    fraction = position - before
    before = before.nan_to_num(0).long()
    index = torch.stack([before, torch.minimum(before + 1, last)], -1)
    weight = torch.stack([1 - fraction, fraction], -1) * inside[..., None] / sampling_ratio
    shape = (low.shape[0], output_size, 2 * sampling_ratio)
    return index.view(shape), weight.view(shape)
