"""One checkpoint to another: rename, check every tensor, write all or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors.torch import save_file
from torch import Tensor

from corrlight.atomic import atomic_path
from corrlight.coco.annotation_file.categories import read_categories
from corrlight.convert.expected import (
    ExpectedModel,
    compose_detector,
    expected_backbone,
    expected_detector,
)
from corrlight.convert.source import Source, read_source
from corrlight.detectors.toolbox_names import ToolboxVersion, rename, to_toolbox_names
from corrlight.engine.class_rows import class_rows

__all__ = ["Conversion", "Target", "convert_checkpoint"]

Target = Literal["corrlight", "mmdetection"]

# Counts that batch normalisation keeps and frozen normalisation has no use for.
_COUNTER = "num_batches_tracked"
# A plain network's weights fit its deformable form, whose offsets start at zero.
_OPTIONAL_IN_BACKBONES = (_COUNTER, "conv_offset.weight", "conv_offset.bias")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What became of every tensor. Names are those of the file that they are about.

    Attributes:
        source: The file read.
        destination: The file written, or meant to be.
        converted: Tensors that found their place.
        dropped: Known tensors without use: counters of frozen normalisation, ImageNet's classifier.
        unmatched: Tensors of the source that nothing is known about.
        missing: Tensors that the model needs and the source lacks.
        misshaped: Our name, shape in the source and shape expected.
        notes: What was assumed, a line each.
    """

    source: Path
    destination: Path
    converted: int
    dropped: tuple[str, ...]
    unmatched: tuple[str, ...]
    missing: tuple[str, ...]
    misshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the model has all that it needs, and so the file was written."""
        return not self.missing and not self.misshaped

    def summary(self) -> str:
        """Return the report of what stood in the way, or was left over, in one line."""
        parts = []
        for title, names in (
            ("missing in the source", self.missing),
            ("of another shape", [f"{n} {[*g]} instead of {[*w]}" for n, g, w in self.misshaped]),
            ("unmatched", self.unmatched),
        ):
            if names:
                more = ", ..." if len(names) > 1 else ""
                parts.append(f"{len(names)} {title} ({names[0]}{more})")
        outcome = "written" if self.complete else "not written"
        return f"{self.destination} {outcome}: {'; '.join(parts)}"

    def lines(self) -> Iterator[str]:
        """Yield the whole report."""
        outcome = "written" if self.complete else "not written"
        yield f"{self.converted} tensors converted; {self.destination} {outcome}"
        yield from (f"note: {note}" for note in self.notes)
        if self.dropped:
            yield f"dropped, of no use here: {len(self.dropped)} ({self.dropped[0]}, ...)"
        for title, names in (
            ("unmatched in the source", self.unmatched),
            ("missing in the source", self.missing),
        ):
            if names:
                yield f"{title}: {len(names)}"
                yield from (f"  {name}" for name in names)
        if self.misshaped:
            yield f"of another shape: {len(self.misshaped)}"
            yield from (f"  {n}: {[*g]} instead of {[*w]}" for n, g, w in self.misshaped)


def convert_checkpoint(
    source: str | Path,
    destination: str | Path,
    *,
    detector: str | None = None,
    backbone: str | None = None,
    to: Target = "corrlight",
    version: ToolboxVersion = "3.x",
    annotations: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Conversion:
    """Convert a checkpoint of a detector or of a backbone, from whosever names it has.

    Args:
        source: A checkpoint of the toolbox (2.x or 3.x), of ours, or a backbone of torchvision;
            ``.safetensors`` or what ``torch.save`` wrote.
        destination: The file to write; ``.safetensors`` or anything else for ``torch.save``.
        detector: A file of ``conf/detector``.
        backbone: A file of ``conf/backbone``, to take only the backbone; the result has
            torchvision's names and serves as ``backbone.weights=FILE``.
        to: Whose names to write.
        version: Which of the toolbox's names, with ``to="mmdetection"``.
        annotations: A COCO annotation file whose categories the result is to have, in its order;
            the source must name its classes. They may be fewer.
        overrides: Further options of the configuration, such as ``backbone=resnet101``.

    Returns:
        The report. Nothing is written unless it is ``complete``.

    Raises:
        FileNotFoundError: The source is not there.
        ValueError: The source is unreadable or not of the kind asked for, or an option is wrong.
    """
    source, destination = Path(source), Path(destination)
    if (detector is None) == (backbone is None):
        raise ValueError("Expected exactly one of `detector` and `backbone`.")
    for name, value, choices in (
        ("to", to, get_args(Target)),
        ("version", version, get_args(ToolboxVersion)),
    ):
        if value not in choices:
            shown = " or ".join(repr(c) for c in choices)
            raise ValueError(f"Expected `{name}` to be {shown}, but got {value!r}.")
    read = read_source(source)
    if destination.exists() and destination.samefile(source):
        raise ValueError(f"Expected `destination` to be another file than `source` {source}.")
    if backbone is not None:
        if annotations is not None or to != "corrlight":
            raise ValueError("Expected neither `annotations` nor `to` with `backbone`.")
        return _convert_backbone(read, destination, expected_backbone(backbone, overrides))
    assert detector is not None
    return _convert_detector(read, destination, detector, to, version, annotations, overrides)


def _convert_detector(
    source: Source,
    destination: Path,
    detector: str,
    to: Target,
    version: ToolboxVersion,
    annotations: str | Path | None,
    overrides: Sequence[str],
) -> Conversion:
    if source.origin == "backbone":
        raise ValueError(
            f"Expected a detector in {source.path}, but it holds a backbone; convert it with "
            "--backbone NAME."
        )
    if source.origin == "torchvision":
        raise ValueError(
            f"Expected a detector of mmdetection or ours in {source.path}, but it holds one of "
            "torchvision, whose anchors, pyramid and heads differ; take its backbone with "
            "--backbone NAME."
        )
    config = compose_detector(detector, overrides)
    given = any(o.startswith("data.num_classes=") for o in overrides) and config.data.num_classes
    # Tensors that list classes are those whose shape follows their number.
    few, more = (expected_detector(config, n) for n in (3, 4))
    rows = class_rows(few.shapes, more.shapes, few.detector)
    state, unmatched = _our_names(source, few)
    found = {k: rows[k].count(state[k].shape[0]) for k in rows if k in state and state[k].ndim}
    num_classes = next((n for n in found.values() if n is not None), 80)
    names, ids, notes = source.class_names, source.category_ids, list[str]()
    if names and len(names) != num_classes:
        notes.append(f"the source names {len(names)} classes and has {num_classes}: names ignored")
        names, ids = (), ()
    if annotations is not None:
        categories = read_categories(annotations)
        wanted_ids, wanted = tuple(categories), tuple(categories.values())
        order = _order(names, wanted, num_classes, source.path, annotations)
        for name in (k for k, n in found.items() if n == num_classes):
            state[name] = rows[name].select(state[name], order)
        names, ids, num_classes, given = wanted, wanted_ids, len(wanted), None
    expected = expected_detector(config, given or num_classes)

    kept = {k: v for k, v in state.items() if k in expected.shapes}
    dropped = [k for k in state if k not in kept and k.endswith(_COUNTER)]
    unmatched += [k for k in state if k not in kept and not k.endswith(_COUNTER)]
    # Frozen normalisation writes no counters of batches; a plain one of ours expects them.
    for name in expected.shapes.keys() - kept.keys():
        if name.endswith(_COUNTER):
            kept[name] = torch.zeros((), dtype=torch.int64)
    conversion = _checked(source, destination, kept, expected, dropped, unmatched, (), notes)
    if conversion.complete:
        content = _ours(kept, expected, ids, names)
        if to == "mmdetection":
            content = _theirs(kept, expected, version, names)
        _write(destination, content)
    return conversion


def _convert_backbone(source: Source, destination: Path, expected: ExpectedModel) -> Conversion:
    state = dict(source.state)
    if source.origin != "backbone":
        state = _backbone_of(source)
    kept = {k: v for k, v in state.items() if k in expected.shapes}
    idle = [k for k in state if k not in kept and (k.endswith(_COUNTER) or k.startswith("fc."))]
    unmatched = [k for k in state if k not in kept and k not in idle]
    conversion = _checked(
        source, destination, kept, expected, idle, unmatched, _OPTIONAL_IN_BACKBONES, []
    )
    if conversion.complete:
        _write(destination, {"state_dict": _contiguous(kept)})
    return conversion


def _backbone_of(source: Source) -> dict[str, Tensor]:
    """Return the tensors of a detector's backbone: ``backbone.`` or ``backbone.body.``."""
    stem = "conv1.weight"
    prefixes = sorted((k.removesuffix(stem) for k in source.state if k.endswith(f".{stem}")
                       and k.startswith("backbone.") and ".layer" not in k), key=len)  # fmt: skip
    if not prefixes:
        raise ValueError(
            f"Expected a ResNet below `backbone.` in {source.path}, but found no `backbone.{stem}`."
        )
    prefix = prefixes[0]
    return {k[len(prefix) :]: v for k, v in source.state.items() if k.startswith(prefix)}


def _our_names(source: Source, expected: ExpectedModel) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors under our names, and their names that no rule fits."""
    if source.origin == "corrlight":
        return dict(source.state), []
    state: dict[str, Tensor] = {}
    unmatched = []
    for name, tensor in source.state.items():
        ours = rename(name, expected.rules, to="ours")
        if ours is None or ours in state:
            unmatched.append(name)
        else:
            state[ours] = tensor
    return state, unmatched


def _order(
    names: Sequence[str],
    wanted: Sequence[str],
    num_classes: int,
    source: Path,
    annotations: str | Path,
) -> list[int]:
    """Return the source's class of each wanted one."""
    if not names:
        raise ValueError(
            f"Expected {source} to name its {num_classes} classes, which `annotations` are matched "
            "by, but it does not; leave `annotations` out if the order is the same."
        )
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise ValueError(
            f"Expected the categories of {annotations} to be classes of {source}, but "
            f"{', '.join(map(repr, unknown[:5]))} are not."
        )
    return [names.index(name) for name in wanted]


def _checked(
    source: Source,
    destination: Path,
    kept: Mapping[str, Tensor],
    expected: ExpectedModel,
    dropped: Sequence[str],
    unmatched: Sequence[str],
    optional: tuple[str, ...],
    notes: Sequence[str],
) -> Conversion:
    misshaped = tuple(
        (k, tuple(kept[k].shape), shape)
        for k, shape in expected.shapes.items()
        if k in kept and tuple(kept[k].shape) != shape
    )
    return Conversion(
        source=source.path,
        destination=destination,
        converted=len(kept) - len(misshaped),
        dropped=tuple(dropped),
        unmatched=tuple(unmatched),
        missing=tuple(k for k in expected.shapes if k not in kept and not k.endswith(optional)),
        misshaped=misshaped,
        notes=tuple(notes),
    )


def _contiguous(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone(memory_format=torch.contiguous_format)
            for name, tensor in state.items()}  # fmt: skip


def _ours(
    state: Mapping[str, Tensor],
    expected: ExpectedModel,
    category_ids: Sequence[int],
    class_names: Sequence[str],
) -> dict[str, Any]:
    named = {f"detector.{k}": v for k, v in state.items()}
    return {
        "state_dict": _contiguous({**named, **(expected.extras or {})}),
        "category_ids": list(category_ids),
        "class_names": list(class_names),
    }


def _theirs(
    state: Mapping[str, Tensor],
    expected: ExpectedModel,
    version: ToolboxVersion,
    class_names: Sequence[str],
) -> dict[str, Any]:
    # The toolbox's normalisation counts its batches, frozen or not.
    counters = {
        k.replace("running_var", _COUNTER): torch.zeros((), dtype=torch.int64)
        for k in state
        if k.endswith("running_var")
    }
    named = to_toolbox_names({**counters, **state}, expected.rules, version)
    names = tuple(class_names)
    return {
        "state_dict": _contiguous(named),
        "meta": {"CLASSES": names, "dataset_meta": {"classes": names}} if names else {},
    }


def _write(path: Path, content: Mapping[str, Any]) -> None:
    state = content["state_dict"]
    beside = {k: v for k, v in content.items() if k != "state_dict"}
    with atomic_path(path) as temporary:
        if path.suffix == ".safetensors":
            save_file(state, temporary, {k: json.dumps(v) for k, v in beside.items()})
        else:
            torch.save({**beside, "state_dict": state} if beside else state, temporary)
