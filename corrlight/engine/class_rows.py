"""Which tensors of a model list its classes, found by building it with two numbers of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from corrlight.config.build import build_module
from corrlight.detectors.base import Detector

__all__ = ["ClassRows", "class_rows", "reordered", "rows_of_module"]

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ClassRows:
    """How the first axis of a tensor lists classes: ``repeats`` times, each with ``extra`` more.

    Anchors of a cell repeat the list; ``extra`` is 1 where background is one of the classes, the
    last one unless ``background_first``. A class has ``rows`` rows side by side, four where each
    has boxes of its own. With ``any_object`` the first row is of no class but of all objects, and
    stays where it is; nothing reads the others.
    """

    repeats: int
    extra: int
    background_first: bool = False
    rows: int = 1
    any_object: bool = False

    def count(self, rows: int) -> int | None:
        """Return how many classes a first axis of ``rows`` has, None if it cannot be."""
        classes = rows // (self.repeats * self.rows) - self.extra
        return classes if rows % (self.repeats * self.rows) == 0 and classes > 0 else None

    def select(self, tensor: Tensor, classes: Sequence[int]) -> Tensor:
        """Return the rows of some classes, in their order, and those of background."""
        grouped = self.grouped(tensor)
        places = [*self.places(grouped, classes)]
        background = self.background(grouped)
        kept = [*background, *places] if self.background_first else [*places, *background]
        return grouped[:, kept].flatten(0, 2)

    def grouped(self, tensor: Tensor) -> Tensor:
        """Return a view ``(repeats, classes + extra, rows, ...)``."""
        return tensor.unflatten(0, (self.repeats, -1, self.rows))

    def places(self, grouped: Tensor, classes: Sequence[int]) -> list[int]:
        """Return where classes are in the second axis of :meth:`grouped`."""
        if self.any_object:
            return [*range(len(classes))]
        return [k + self.extra * self.background_first for k in classes]

    def background(self, grouped: Tensor) -> range:
        """Return where background is in the second axis of :meth:`grouped`."""
        if self.background_first:
            return range(self.extra)
        return range(grouped.shape[1] - self.extra, grouped.shape[1])


def class_rows(
    few: Mapping[str, Shape], more: Mapping[str, Shape], detector: Detector | None = None
) -> dict[str, ClassRows]:
    """Return which tensors of a model list classes.

    Args:
        few: Shape of every tensor with 3 classes.
        more: The same with 4.
        detector: Says how they list them; by default plainly, background last.

    Raises:
        ValueError: A tensor lists them along another axis than the first.
    """
    found = {}
    for name, shape in few.items():
        other = more.get(name)
        if shape == other:
            continue
        if other is None or not shape or shape[1:] != other[1:]:
            raise ValueError(
                f"Expected the classes along the first axis of '{name}', but its shape is "
                f"{[*shape]} for 3 classes and {[*(other or ())]} for 4."
            )
        # One class more is one row more in every repetition.
        repeats = other[0] - shape[0]
        rows = ClassRows(repeats, shape[0] // repeats - 3)
        if detector is not None:
            own = next((n for part, n in detector.rows_per_class.items() if part in name), 1)
            rows = replace(
                rows,
                repeats=repeats // own,
                background_first=detector.background_first,
                rows=own,
                any_object=any(part in name for part in detector.any_object_rows),
            )
        found[name] = rows
    return found


def rows_of_module(config: DictConfig, allow_targets: Sequence[str] = ()) -> dict[str, ClassRows]:
    """Return which tensors of the module that ``config`` describes list classes.

    Args:
        config: The configuration, with its interpolations: the number of classes is changed.
        allow_targets: As in :func:`build_module`.
    """
    shapes = []
    for num_classes in (3, 4):
        changed = deepcopy(config)
        OmegaConf.update(changed, "data.num_classes", num_classes, force_add=True)
        if OmegaConf.select(changed, "backbone.weights") is not None:
            OmegaConf.update(changed, "backbone.weights", None)
        with torch.device("meta"):
            module = build_module(changed, allow_targets=allow_targets)
        shapes.append({k: tuple(tensor.shape) for k, tensor in module.state_dict().items()})
        detector = module.detector
    few, more = shapes
    return class_rows(few, more, detector)


def reordered(
    state: Mapping[str, Tensor], rows: Mapping[str, ClassRows], order: Sequence[int]
) -> dict[str, Tensor]:
    """Return a state dict whose classes come in another order.

    Args:
        state: Of a checkpoint.
        rows: Which of its tensors list classes.
        order: The present place of every class.

    Raises:
        ValueError: No tensor lists classes, or not as many as ``order``.
    """
    if not rows:
        raise ValueError("Expected tensors that list the classes, but the model has none.")
    wrong = [k for k in rows if k in state and rows[k].count(len(state[k])) != len(order)]
    if wrong:
        raise ValueError(f"Expected {len(order)} classes in '{wrong[0]}', but it has others.")
    return {k: rows[k].select(v, order) if k in rows else v for k, v in state.items()}
