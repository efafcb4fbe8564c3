"""Reading anybody's checkpoint as data: tensors by name, class names, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from corrlight.engine.checkpoint import load_checkpoint

__all__ = ["Origin", "Source", "read_source"]

Origin = Literal["corrlight", "mmdetection", "backbone"]

# What the toolbox's training checkpoints hold beside tensors and plain containers: the histories
# of its logs. Nothing of it is imported or run; each name becomes an empty object.
_INERT_NAMES = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    *(
        f"{module}.{name}"
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "scalar")
    ),
    "numpy.ndarray",
    "numpy.dtype",
    "builtins.getattr",
    "__builtin__.getattr",
)
_PREFIXES = ("module.", "_orig_mod.")


class _Inert:
    """Stands for an object that is not needed."""

    def __new__(cls, *args: object, **kwargs: object) -> _Inert:
        return object.__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Source:
    """The content of a checkpoint.

    Attributes:
        path: The file.
        state: Its tensors; for "corrlight" those of the detector, without their prefix.
        origin: Whose names they have; "backbone" for a bare backbone as torchvision saves it.
        class_names: Names of the classes in the order of the outputs; empty if it says none.
        category_ids: Ids of the classes in the data set, likewise.
    """

    path: Path
    state: dict[str, Tensor]
    origin: Origin
    class_names: tuple[str, ...] = ()
    category_ids: tuple[int, ...] = ()


def read_source(path: str | Path) -> Source:
    """Return the content of a ``.safetensors`` file or of anything that ``torch.save`` wrote.

    No code in the file is executed; a file that asks for any is refused.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, holds more than data, or no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected a checkpoint file, but there is no {path}.")
    content = _content(path)
    state = content.get("state_dict", content.get("model", content))
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f"Expected a state dict in {path}, but it has none.")
    bad = next((k for k, v in state.items() if not isinstance(v, Tensor)), None)
    if bad is not None:
        raise ValueError(
            f"Expected a state dict in {path}, but '{bad}' is a {type(state[bad]).__name__} and "
            "no tensor."
        )
    tensors = {_without_prefix(str(name)): tensor for name, tensor in state.items()}
    classes = _class_names(content)
    if any(name.startswith("detector.") for name in tensors):
        own = {k.removeprefix("detector."): v for k, v in tensors.items() if k[:9] == "detector."}
        ids = tuple(int(i) for i in content.get("category_ids") or ())
        return Source(path, own, "corrlight", classes, ids)
    if "conv1.weight" in tensors and not any(name.startswith("backbone.") for name in tensors):
        return Source(path, tensors, "backbone")
    return Source(path, tensors, "mmdetection", classes)


def _without_prefix(name: str) -> str:
    for prefix in _PREFIXES:  # of a wrapper that was saved along
        name = name.removeprefix(prefix)
    return name


def _class_names(content: Mapping[str, Any]) -> tuple[str, ...]:
    meta = content.get("meta")
    meta = meta if isinstance(meta, Mapping) else {}
    dataset = meta.get("dataset_meta")
    dataset = dataset if isinstance(dataset, Mapping) else {}
    for found in (
        content.get("class_names"),
        dataset.get("classes"),
        dataset.get("CLASSES"),
        meta.get("CLASSES"),
    ):
        if isinstance(found, (list, tuple)) and all(isinstance(name, str) for name in found):
            return tuple(found)
    return ()


@contextmanager
def _inert_names() -> Iterator[None]:
    with torch.serialization.safe_globals([(_Inert, name) for name in _INERT_NAMES]):
        yield


def _content(path: Path) -> dict[str, Any]:
    try:
        with _inert_names():
            return load_checkpoint(path)
    except ValueError as error:
        cause = str(error.__cause__)
        if "Weights only load failed" not in cause:
            raise
        named = re.search(r"(?:GLOBAL|class|function) ([\w.]+) ", cause)
        what = f"names {named[1]}, which" if named else "holds what"
        raise ValueError(
            f"Refused {path}: it {what} is more than data. Save its state dict alone, with "
            "torch.save(model.state_dict(), FILE) or as .safetensors."
        ) from error
