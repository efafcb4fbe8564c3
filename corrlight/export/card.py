"""The page that goes with a file: what it is, what it was trained on, how good it is."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corrlight import __version__
from corrlight.json_files import as_number
from corrlight.predict.model import Model
from corrlight.runs.folder import RunFolder

__all__ = ["model_card"]

_MEASURES = ("AP", "AP50", "AP75", "mask_AP", "oLRP", "beta_img", "beta_cls")
_FORMATS = {
    "onnx": """import numpy as np, onnxruntime

session = onnxruntime.InferenceSession("{file}")
names = [output.name for output in session.get_outputs()]
outputs = dict(zip(names, session.run(None, {{"images": images}})))""",
    "torch_export": """import torch, torchvision  # NMS is an operator of torchvision

module = torch.export.load("{file}").module()
outputs = dict(zip({names}, module(torch.from_numpy(images))))""",
}


def model_card(
    file: Path,
    file_format: str,
    model: Model,
    metadata: Mapping[str, Any],
    agreement: str,
) -> str:
    """Return the page in Markdown.

    Args:
        file: The exported file.
        file_format: "onnx" or "torch_export".
        model: The run, loaded from its folder.
        metadata: What the file says of itself.
        agreement: How far file and detector differ.
    """
    assert model.checkpoint is not None
    folder = RunFolder(model.checkpoint.parent.parent)
    environment = _read(folder.read_json, "environment.json")
    overrides = _read(folder.read_yaml, "overrides.yaml", list)
    epoch = model.epoch
    data = model.config.get("data") or {}
    names = metadata["class_names"]
    shown = metadata["input"]
    git = environment.get("git") or {}
    rows = {
        "detector": (model.config.get("detector") or {}).get("name", "-"),
        "trained with": f"`corrlight train {shlex.join(map(str, overrides))}`",
        "data": f"{data.get('root', '-')}, {len(names)} classes: {_some(names)}",
        "checkpoint": f"{model.checkpoint.name}, epoch {'-' if epoch is None else epoch + 1}",
        "corrlight": f"{__version__}, commit {str(git.get('commit') or '-')[:10]}",
        "input": f"`images`, float32 (batch, 3, height, width), RGB, 0 to 255; {shown['said']}",
        "outputs": ", ".join(f"`{name}`" for name in metadata["outputs"]),
        "normalisation": "inside",
        "agreement": agreement,
    }
    lines = [
        f"# {file.name}",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {_cell(value)} |" for key, value in rows.items()),
        "",
        f"## Measured on the run's validation pictures, {_when(folder, epoch)}",
        "",
        *_measured(folder, epoch),
        "",
        "## Use",
        "",
        "Resize a picture as the evaluation does "
        f"({metadata['resize']['said']}), fill up to the size of the input at right and bottom "
        f"with the mean colour {tuple(round(v) for v in metadata['normalization']['mean'])}, and "
        "scale boxes back.",
        "",
        "```python",
        _FORMATS[file_format].format(file=file.name, names=list(metadata["outputs"])),
        "```",
        "",
        "Rows with label -1 are no detections; labels count from 0 in the order of the classes."
        if "scores" in metadata["outputs"]
        else "These are predictions before post-processing.",
        "",
        "## Licence",
        "",
        "The code that made this file is under Apache-2.0. The weights were learned from the data "
        "above and from any weights that the training began with: their licences and terms decide "
        "who may use this file and for what.",
    ]
    return "\n".join(lines) + "\n"


def _measured(folder: RunFolder, epoch: int | None) -> list[str]:
    values = _of_epoch(folder, epoch)
    found = {name: as_number(values.get(name)) for name in _MEASURES if name in values}
    if not found:
        return ["The run folder holds no measures of this epoch."]
    shown = ["-" if v is None else f"{100 * v:.1f}" for v in found.values()]
    return [
        f"| {' | '.join(found)} |",
        f"|{'---:|' * len(found)}",
        f"| {' | '.join(shown)} |",
        "",
        "times 100; oLRP is an error; a dash is an undefined value",
    ]


def _of_epoch(folder: RunFolder, epoch: int | None) -> dict[str, Any]:
    """Return the measures of an epoch of ``metrics.csv`` by their plain names."""
    for row in folder.read_csv("metrics.csv"):
        if epoch is not None and as_number(_number(row.get("epoch"))) == epoch:
            prefix = "val/"
            return {k[len(prefix) :]: _number(v) for k, v in row.items() if k.startswith(prefix)}
    return {}


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _when(folder: RunFolder, epoch: int | None) -> str:
    count = len(folder.read_csv("metrics.csv"))
    return "unknown epoch" if epoch is None else f"epoch {epoch + 1} of {count}"


def _read(read: Any, name: str, kind: type = dict) -> Any:
    """Return a file of the run folder, empty where it is missing or something else."""
    try:
        content = read(name)
    except (OSError, ValueError):
        return kind()
    return content if isinstance(content, kind) else kind()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


def _cell(text: Any) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")
