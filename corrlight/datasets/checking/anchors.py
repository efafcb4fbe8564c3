"""Whether the anchors of a detector fit the objects of a set."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from omegaconf import OmegaConf

from corrlight.coco.annotation_file.table import AnnotationTable
from corrlight.coco.types import Array
from corrlight.config.compose import compose_config
from corrlight.data.fitting.anchor_fit import UNFIT, anchor_fit, anchor_shapes, best_scale
from corrlight.data.fitting.input_size import LONG
from corrlight.datasets.checking.problems import Problem
from corrlight.datasets.checking.statistics import input_object_sizes

__all__ = ["anchor_problem", "detector_anchors"]

# Objects, evenly spaced, from which the shares of larger sets are taken.
_MOST_OBJECTS = 100_000
_KEYS = ("strides", "anchor_scale", "anchor_sizes", "scales_per_octave", "ratios")


@cache
def detector_anchors(detector: str) -> tuple[Array, Array] | None:
    """Return ``(k, 2)`` shapes and ``(k,)`` strides of a detector's anchors, None without any.

    They are those of its options; what the options leave out are the defaults of its class.

    Raises:
        ValueError: There is no such detector.
    """
    net: dict[str, Any] = OmegaConf.to_container(  # type: ignore[assignment]
        compose_config([f"detector={detector}"]).config.detector.net, resolve=False
    )
    if "strides" not in net or not {"anchor_scale", "anchor_sizes"} & set(net):
        from hydra.utils import get_class  # imports torch

        defaults: dict[str, Any] = {}
        for base in reversed(get_class(net["_target_"]).__mro__):  # some pass them on by name
            arguments = inspect.signature(vars(base).get("__init__", object.__init__)).parameters
            defaults |= {key: arguments[key].default for key in _KEYS if key in arguments}
        net = {**defaults, **net}
    strides, edges = net.get("strides"), net.get("anchor_sizes")
    if not strides or not (edges or net.get("anchor_scale")):
        return None
    edges = edges or [net["anchor_scale"] * stride for stride in strides]
    octave = int(net.get("scales_per_octave", 1))
    scales = [2 ** (i / octave) for i in range(octave)]
    return anchor_shapes(strides, edges, scales, list(net.get("ratios", [1.0])))


def anchor_problem(
    table: AnnotationTable, detector: str, side: int | None, where: str
) -> Problem | None:
    """Return which share of the objects no anchor of a detector fits, None if it has none.

    Args:
        table: The annotations.
        detector: Name of a file in ``conf/detector``.
        side: ``data.size``.
        where: The split.
    """
    anchors = detector_anchors(detector)
    sizes = input_object_sizes(table, side)
    num_objects = len(sizes)
    sizes = sizes[:: -(-len(sizes) // _MOST_OBJECTS) or 1]
    fit = None if anchors is None else anchor_fit(sizes, *anchors)
    if anchors is None or fit is None or fit.unfit is None:
        return None
    edges = anchors[0].prod(1) ** 0.5
    factor = best_scale(sizes, *anchors)
    after = anchor_fit(sizes, anchors[0] * factor, anchors[1]).unfit
    way_out = f"detector.net.anchor_scale=auto (yolact: anchor_sizes=auto) leaves {after:.0%}."
    if factor == 1:
        way_out = ""
    if after is not None and after >= UNFIT:
        # Anchors are not all: a level is too coarse for objects much smaller than its stride.
        larger = anchor_fit(2 * sizes, anchors[0] * best_scale(2 * sizes, *anchors), anchors[1])
        longest = side or min(int(table.sizes.max()), LONG)
        way_out += f" With data.size={2 * longest} as well it is {larger.unfit:.0%}."
    text = (
        f"no anchor of {detector} ({edges.min():.0f} to {edges.max():.0f} pixels) fits "
        f"{fit.unfit:.0%} of the objects"
    )
    return Problem(
        kind="unfit_anchors",
        level="warning" if fit.unfit >= UNFIT else "note",
        where=where,
        count=round(fit.unfit * num_objects),
        text=text,
        way_out=way_out.strip(),
    )
