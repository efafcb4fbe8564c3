"""Networks as files, and files as functions again."""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from corrlight.export.network import ExportNetwork
from corrlight.ops.switch import fast_ops

__all__ = [
    "FORMATS",
    "ONNX_TORCH",
    "Format",
    "Shape",
    "check_packages",
    "open_file",
    "plain_ops",
    "record",
    "write_file",
    "write_program",
]

Format = Literal["onnx", "torch_export"]
FORMATS: tuple[Format, ...] = ("onnx", "torch_export")
# Later ones move RoIAlign and refuse more, earlier ones lack deformable convolutions.
_OPSET = 20
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# What the exporters raise; those of ONNX are no RuntimeError.
_EXPORT_ERRORS = (RuntimeError, TypeError, NotImplementedError, torch.onnx.OnnxExporterError)
# In torch 2.6 the exporter cannot write what follows plain NMS; 2.8 was the next one tried.
ONNX_TORCH = "2.8"
# Sides of a picture that a file of any size takes, in multiples of the size divisor.
_SMALLEST, _LARGEST = 2, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What pictures a file takes.

    Attributes:
        batch: Pictures at a time.
        height: Pixels.
        width: Pixels.
        divisor: Sides are multiples of it.
        any_batch: Whether other numbers of pictures are taken too.
        any_size: Whether other sizes are taken too.
    """

    batch: int
    height: int
    width: int
    divisor: int = 32
    any_batch: bool = False
    any_size: bool = False


def check_packages(file_format: Format) -> None:
    """Raise ``ValueError`` where a package of the extra ``export`` is missing, or torch too old."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if file_format == "onnx" and missing:
        raise ValueError(
            f"Expected the packages of the extra `export` for ONNX, but there is no {missing[0]}: "
            "pip install 'corrlight[export]'."
        )
    if file_format == "onnx" and torch.__version__ < ONNX_TORCH:
        raise ValueError(
            f"Expected torch {ONNX_TORCH} or newer for ONNX, whose exporter "
            f"knows every operator of a detector, but got {torch.__version__}. "
            "`--format torch_export` takes any."
        )


@contextmanager
def plain_ops() -> Iterator[None]:
    """Have PyTorch's own operators run, which files know, and RoIAlign as a table of features."""
    with fast_ops(("roi_align",)), torch.no_grad():
        yield


def write_file(
    network: ExportNetwork,
    path: Path,
    file_format: Format,
    shape: Shape,
    metadata: Mapping[str, Any],
) -> None:
    """Write a network as one file.

    Args:
        network: What to write, on the CPU.
        path: The file.
        file_format: "onnx" or "torch_export".
        shape: What pictures it takes.
        metadata: Stored in the file under these names, as JSON.

    Raises:
        ValueError: The network cannot be recorded, or has an operator that the format lacks.
    """
    with _refusing(file_format):
        write_program(record(network, shape), network, path, file_format, metadata)


def record(network: ExportNetwork, shape: Shape) -> torch.export.ExportedProgram:
    """Return the recorded network, of which a file in either format can be written.

    Args:
        network: On the CPU.
        shape: What pictures it takes.
    """
    network.eval()
    # Of one picture or side nobody could tell whether it is meant for any.
    batch = max(shape.batch, 2) if shape.any_batch else shape.batch
    example = torch.full((batch, 3, shape.height, shape.width), 127.0)
    with plain_ops(), _quiet():
        return torch.export.export(network, (example,), dynamic_shapes=_dynamic(shape))


def write_program(
    program: torch.export.ExportedProgram,
    network: ExportNetwork,
    path: Path,
    file_format: Format,
    metadata: Mapping[str, Any],
) -> None:
    """Write what :func:`record` gave of a network as one file; arguments as of `write_file`."""
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    with plain_ops(), _quiet():
        if file_format == "torch_export":
            torch.export.save(program, path, extra_files=texts)
            return
        written = torch.onnx.export(
            program,
            opset_version=_OPSET,
            dynamo=True,
            input_names=["images"],
            output_names=list(network.output_names),
            external_data=False,
            verbose=False,
        )
        assert written is not None
        written.model.metadata_props.update(texts)
        written.save(path, external_data=False)


@contextmanager
def _refusing(file_format: Format) -> Iterator[None]:
    """Turn what the exporters raise of a network into one line."""
    try:
        yield
    except _EXPORT_ERRORS as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise  # Nothing is wrong with the network.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        raise ValueError(
            f"Expected a detector that {file_format} can hold, but got: {reason}"
        ) from error


def open_file(
    path: Path, file_format: Format
) -> tuple[Callable[[Tensor], list[Tensor]], dict[str, Any]]:
    """Return a file as a function of pictures, and what is stored in it.

    Args:
        path: What :func:`write_file` wrote.
        file_format: "onnx", which onnxruntime runs on the CPU, or "torch_export".
    """
    if file_format == "torch_export":
        import torchvision  # noqa: F401  (its NMS is an operator of the file)

        texts = dict.fromkeys(_STORED, "")
        module = torch.export.load(path, extra_files=texts).module()
        stored = {k: v.decode() if isinstance(v, bytes) else v for k, v in texts.items()}
        return lambda images: list(module(images)), _read(stored)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> list[Tensor]:
        return [torch.from_numpy(v) for v in session.run(None, {"images": images.numpy()})]

    return run, _read(session.get_modelmeta().custom_metadata_map)


# Names under which a file tells what it is.
_STORED = ("class_names", "category_ids", "input", "outputs", "normalization", "resize", "source")


def _read(texts: Mapping[str, str]) -> dict[str, Any]:
    return {key: json.loads(texts[key]) for key in _STORED if texts.get(key)}


def _dynamic(shape: Shape) -> tuple[dict[int, Any]] | None:
    free: dict[int, Any] = {}
    if shape.any_batch:
        free[0] = torch.export.Dim("batch")
    if shape.any_size:
        for axis, name in ((2, "rows"), (3, "columns")):
            cells = torch.export.Dim(name, min=_SMALLEST, max=_LARGEST)
            free[axis] = shape.divisor * cells
    return (free,) if free else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the exporters say to their own developers."""
    names = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
    loggers: Sequence[logging.Logger] = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
