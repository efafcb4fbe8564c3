"""Reading anybody's checkpoint as data: tensors by name, class names, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from corrlight.engine.checkpoint import load_checkpoint

__all__ = ["Origin", "Source", "read_source"]

Origin = Literal["corrlight", "mmdetection", "backbone", "torchvision"]

# What training checkpoints hold beside tensors and plain containers: the histories of the toolbox's
# logs, the options of torchvision's and DETR's scripts. Nothing of it is imported or run; each name
# becomes an empty object.
_INERT_NAMES = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "argparse.Namespace",
    "numpy.ndarray",
    "builtins.getattr",
    "__builtin__.getattr",
)
_NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
# Under which key checkpoints keep their weights; of several the first.
_WEIGHTS = ("state_dict", "model_state_dict", "model", "weights", "net", "ema_state_dict")
# Of wrappers that were saved along: around the whole, and (torch.compile, FSDP, recomputation)
# around any part.
_OUTER = ("module.", "model.", "net.", "_forward_module.")
_INNER = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# How often averaged weights were updated, beside them.
_COUNTS = ("n_averaged",)


class _Inert:
    """Stands for an object that is not needed."""

    def __new__(cls, *args: object, **kwargs: object) -> _Inert:
        return object.__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _DType:
    """Stands for a NumPy dtype: its code, such as "f4"."""

    def __init__(self, code: object = "", *args: object) -> None:
        self.code, self.order = str(code), "<"

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) > 1:
            self.order = str(state[1])


class _Array:
    """Stands for a NumPy array or number; its bytes are read only where it is a weight."""

    def __init__(self, *args: object) -> None:
        # Of a number: its dtype and bytes. Of an array both come with its state.
        self.parts: tuple[object, ...] = ((), args[0], False, args[1]) if len(args) == 2 else ()

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) == 5:
            self.parts = state[1:]

    def tensor(self) -> Tensor | None:
        """Return its values, None where they are no numbers that a tensor has."""
        if len(self.parts) != 4:
            return None
        shape, dtype, by_columns, data = self.parts
        if not isinstance(dtype, _DType) or dtype.code[:1] not in "fiub" or dtype.code == "":
            return None
        if not isinstance(data, bytes) or not isinstance(shape, tuple):
            return None
        order = dtype.order if dtype.order in "<>" else "="
        try:
            values = np.frombuffer(data, np.dtype(order + dtype.code))
            values = values.reshape(shape, order="F" if by_columns else "C")
            return torch.from_numpy(values.astype(values.dtype.newbyteorder("="), order="C"))
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class Source:
    """The content of a checkpoint.

    Attributes:
        path: The file.
        state: Its tensors; for "corrlight" those of the detector, without their prefix.
        origin: Whose names they have; "backbone" for a bare backbone as torchvision saves it,
            "torchvision" for one of its detectors.
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
    state = _weights(content)
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f"Expected a state dict in {path}, but it has none.")
    state = {k: v.tensor() if isinstance(v, _Array) else v for k, v in state.items()}
    bad = next((k for k, v in state.items() if not isinstance(v, Tensor)), None)
    if bad is not None:
        kind = "an array of no numbers" if state[bad] is None else f"a {type(state[bad]).__name__}"
        raise ValueError(f"Expected a state dict in {path}, but '{bad}' is {kind} and no tensor.")
    tensors = _unwrapped(state)
    classes = _class_names(content)
    if any(name.startswith("detector.") for name in tensors):
        own = {k.removeprefix("detector."): v for k, v in tensors.items() if k[:9] == "detector."}
        ids = tuple(int(i) for i in content.get("category_ids") or ())
        return Source(path, own, "corrlight", classes, ids)
    if "conv1.weight" in tensors and not any(name.startswith("backbone.") for name in tensors):
        return Source(path, tensors, "backbone")
    if any(name.startswith("backbone.body.") for name in tensors):
        return Source(path, tensors, "torchvision")
    return Source(path, tensors, "mmdetection", classes)


def _weights(content: Mapping[str, Any]) -> Any:
    """Return what stands under the key of the weights, and under another such key in it."""
    key = next((key for key in _WEIGHTS if key in content), None)
    if key is None:
        return content
    found = content[key]
    return _weights(found) if isinstance(found, Mapping) else found


def _unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under the names that they had before any wrapper."""
    tensors = {
        ".".join(part for part in str(name).split(".") if part not in _INNER): tensor
        for name, tensor in state.items()
        if name not in _COUNTS
    }
    while tensors and any(all(k.startswith(prefix) for k in tensors) for prefix in _OUTER):
        tensors = {k.partition(".")[2]: v for k, v in tensors.items()}
    return tensors


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
    stand_ins: list[Any] = [(_Inert, name) for name in _INERT_NAMES]
    stand_ins += [(_DType, "numpy.dtype")]
    stand_ins += [(_Array, f"{m}.{n}") for m in _NUMPY_MODULES for n in ("_reconstruct", "scalar")]
    with torch.serialization.safe_globals(stand_ins):
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
