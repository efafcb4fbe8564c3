"""What a training starts from: weights of another model, or a finished run that goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from corrlight.engine.checkpoint import load_checkpoint, weights_in
from corrlight.engine.class_rows import ClassRows
from corrlight.runs.folder import RunFolder
from corrlight.runs.identity import changed_part

__all__ = ["Transfer", "check_longer", "start_from"]

# Part of a module that is the network; criteria keep states of a training, such as aLRP's balance.
_NETWORK = "detector."
# The least share of the network's numbers that makes a start; below it is another network.
_LEAST = 0.1


@dataclass(frozen=True, slots=True)
class Transfer:
    """What became of every tensor.

    Attributes:
        taken: Tensors of the network that are the file's.
        remade: Tensors of the network that stay as initialised, and why.
        left: Tensors of the file that the network has no place for.
        classes: Classes whose outputs are the file's.
        new_classes: Classes whose outputs stay as initialised.
        share: Share of the network's numbers that is taken.
    """

    taken: tuple[str, ...]
    remade: Mapping[str, str]
    left: tuple[str, ...]
    classes: tuple[str, ...]
    new_classes: tuple[str, ...]
    share: float

    def rows(self) -> list[tuple[str, str]]:
        """Return the table for people: label and line."""
        share = "all" if not self.remade and not self.new_classes else f"{int(100 * self.share)}%"
        lines = [("taken", f"{len(self.taken)} tensors, {share} of the numbers of the network")]
        if self.classes:
            lines.append(("classes taken", _listed(self.classes)))
        if self.new_classes:
            lines.append(("classes anew", _listed(self.new_classes)))
        reasons: dict[str, list[str]] = {}
        for name, reason in self.remade.items():
            reasons.setdefault(reason, []).append(name)
        lines += [("anew", f"{_listed(names)}: {reason}") for reason, names in reasons.items()]
        if self.left:
            lines.append(("left", f"{_listed(self.left)}: not in this network"))
        return lines


def start_from(
    module: nn.Module, path: Path, rows: Mapping[str, ClassRows], class_names: Sequence[str]
) -> Transfer:
    """Put what fits of a checkpoint's weights into ``module``.

    Tensors fit by name and shape. Those that list classes are filled class by class, found by name;
    other classes, and all of a file that names none, keep their initial outputs.

    Args:
        module: A new module; changed in place.
        path: The checkpoint.
        rows: Which tensors of ``module`` list classes.
        class_names: Of the data, in the order of the labels.

    Raises:
        ValueError: The file holds no weights, or hardly any that fit.
    """
    checkpoint = load_checkpoint(path)
    how = " (corrlight convert makes it from other libraries' files)"
    state = weights_in(checkpoint, path, how)
    offered = {k: v for k, v in state.items() if isinstance(v, Tensor) and k.startswith(_NETWORK)}
    own = {k: v for k, v in module.state_dict().items() if k.startswith(_NETWORK)}
    known = _stored_names(checkpoint)
    shared = tuple(name for name in class_names if name in known)
    taken: list[str] = []
    remade: dict[str, str] = {}
    numbers = 0
    with torch.no_grad():
        for name, target in own.items():
            source = offered.get(name)
            if source is None:
                remade[name] = "not in the file"
            elif name in rows:
                reason = _fill_classes(target, source, rows[name], known, class_names)
                if reason:
                    remade[name] = reason
                else:
                    taken.append(name)
                    numbers += target.numel() * len(shared) // len(class_names)
            elif source.shape != target.shape:
                remade[name] = f"{[*source.shape]} in the file, {[*target.shape]} here"
            else:
                target.copy_(source)
                taken.append(name)
                numbers += target.numel()
    share = numbers / max(1, sum(tensor.numel() for tensor in own.values()))
    if share < _LEAST:
        raise ValueError(
            f"Expected `init` to hold weights of this network, but {share:.0%} of its parameters "
            f"are in {path} by name and shape (detector= and backbone= have to be those that it "
            "was trained with; corrlight convert takes files of other libraries)."
        )
    listed = any(name in rows for name in taken)
    return Transfer(
        tuple(taken),
        remade,
        tuple(name for name in offered if name not in own),
        shared if listed else (),
        tuple(name for name in class_names if not listed or name not in shared),
        share,
    )


def check_same(config: Mapping[str, Any], path: Path) -> None:
    """Check that a longer training is one of the same.

    Args:
        config: Resolved configuration of the longer run.
        path: Last checkpoint of the run that it goes on with.

    Raises:
        ValueError: Another detector, other losses, other data or another seed.
    """
    folder = RunFolder(path.parent.parent)
    if not (folder.path / "config.yaml").is_file():  # A checkpoint by itself says nothing of it.
        return
    stored = folder.read_yaml("config.yaml")
    changed = changed_part(stored, config) if isinstance(stored, Mapping) else None
    if changed is not None:
        name, before, after = changed
        raise ValueError(
            f"Expected `{name}` to stay {before!r} where the run {folder} is trained longer, but "
            f"got {after!r} (init={folder} starts another training from its weights)."
        )


def check_longer(module: Any, path: Path, epochs: int) -> None:
    """Check that a finished run can go on.

    Args:
        module: The new module, whose classes have to be the run's.
        path: Its last checkpoint.
        epochs: Of the longer run.

    Raises:
        ValueError: The checkpoint is another one, or has as many epochs already.
    """
    checkpoint = load_checkpoint(path)
    module.on_load_checkpoint(checkpoint)
    trained = int(checkpoint.get("epoch", 0)) + 1
    if epochs <= trained:
        raise ValueError(
            f"Expected `schedule.max_epochs` to be more than the {trained} epochs of {path}, but "
            f"got {epochs}."
        )


def _fill_classes(
    target: Tensor,
    source: Tensor,
    rows: ClassRows,
    known: Sequence[str],
    class_names: Sequence[str],
) -> str:
    """Fill the rows of classes that both sides name; return why nothing could be, or ""."""
    if not known:
        return "the file names no classes"
    if source.shape[1:] != target.shape[1:]:
        return f"{[*source.shape]} in the file, {[*target.shape]} here"
    if rows.count(len(source)) != len(known):
        return "the file lists its classes otherwise"
    shared = [name for name in class_names if name in known]
    if not shared:
        return "no class of the data is in the file"
    there, here = rows.grouped(source), rows.grouped(target)
    mine = rows.places(here, [class_names.index(name) for name in shared])
    theirs = rows.places(there, [known.index(name) for name in shared])
    here[:, mine] = there[:, theirs].to(here)
    # Background is a class of every data set.
    here[:, [*rows.background(here)]] = there[:, [*rows.background(there)]].to(here)
    return ""


def _stored_names(checkpoint: Mapping[str, Any]) -> list[str]:
    names = checkpoint.get("class_names")
    if not isinstance(names, (list, tuple)) or len({*map(str, names)}) < len(names):
        return []
    return [str(name) for name in names]


def _listed(names: Sequence[str]) -> str:
    more = f", ... ({len(names)})" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more
