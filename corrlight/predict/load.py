"""A run folder or checkpoint to a model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from corrlight.config.allowlist import instantiate
from corrlight.data.collate import Collate
from corrlight.data.foreign_transforms import as_steps
from corrlight.engine.checkpoint import load_checkpoint, weights_in
from corrlight.predict.model import Model
from corrlight.runs.folder import BEST, LAST, PREVIOUS, RunFolder

__all__ = ["checkpoint_of", "load", "parse_device"]

log = logging.getLogger("corrlight")

_AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def load(
    run: str | Path, device: str | torch.device = "auto", allow_targets: Sequence[str] = ()
) -> Model:
    """Return the model of a run, which prepares pictures as the run's evaluation does.

    The data of the run are not needed. Weights are read as data: no code in a file is executed.

    Args:
        run: A run folder, whose best checkpoint is taken where there is one, else the last; or one
            of its checkpoints.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto": a GPU where there is one.
        allow_targets: Modules of your own that the run's parts come from.

    Raises:
        FileNotFoundError: There is no such run or checkpoint.
        ValueError: It is not one of a training, or of another version of its parts.
    """
    place = parse_device(device)
    path = checkpoint_of(Path(run))
    folder = RunFolder(path.parent.parent)
    config = OmegaConf.create(_config(folder))
    checkpoint = load_checkpoint(path)
    names, ids = checkpoint.get("class_names"), checkpoint.get("category_ids")
    epoch = checkpoint.get("epoch")
    if not (isinstance(names, list) and isinstance(ids, list) and len(names) == len(ids) > 0):
        raise ValueError(f"Expected {path} to name its classes, but it does not.")
    # The weights come from the checkpoint, whatever the training began with.
    for key in ("backbone.weights", "detector.net.backbone.weights"):
        if OmegaConf.select(config, key) is not None:
            OmegaConf.update(config, key, None)
    detector = instantiate(config.detector.net, allow_targets)
    _load_state(detector, weights_in(checkpoint, path), path)
    data = config.data
    precision = str(OmegaConf.select(config, "trainer.precision"))
    return Model(
        detector.to(place),
        instantiate(config.detector.postprocessor, allow_targets),
        Collate(_numbers(data, "mean"), _numbers(data, "std"), int(data.get("size_divisor") or 32)),
        as_steps(instantiate(data.get("eval_transforms"), allow_targets), "eval_transforms"),
        class_names=[str(name) for name in names],
        category_ids=[int(k) for k in ids],
        batch_size=int(data.get("eval_batch_size") or 1),
        bit_depth=data.get("bit_depth"),
        autocast=_AUTOCAST.get(precision),
        checkpoint=path,
        epoch=epoch if isinstance(epoch, int) else None,
        config=_plain(config),
    )


def checkpoint_of(run: Path) -> Path:
    """Return the checkpoint that ``run`` names.

    Args:
        run: A run folder or a checkpoint in one.

    Raises:
        FileNotFoundError: There is none, or no run folder around it.
    """
    if run.is_dir():
        files = [RunFolder(run).checkpoint(name) for name in (BEST, LAST, PREVIOUS)]
        found = [path for path in files if path.is_file()]
        if not found:
            raise FileNotFoundError(
                f"Expected a run folder with a checkpoint, but {run} has no checkpoints/{LAST}."
            )
        run = found[0]
    elif not run.is_file():
        raise FileNotFoundError(f"Expected a run folder or a checkpoint, but there is no {run}.")
    run = run.absolute()
    if not (run.parent.parent / "config.yaml").is_file():
        raise FileNotFoundError(
            f"Expected {run} to lie in checkpoints/ of its run folder, whose config.yaml says how "
            "pictures are prepared, but there is none."
        )
    return run


def parse_device(device: str | torch.device) -> torch.device:
    """Return the device that a name means.

    Raises:
        ValueError: There is no such device, here or at all.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"Expected `device` to be usable, but got '{device}': {reason}") from error
    return place


def _config(folder: RunFolder) -> dict[str, Any]:
    content = folder.read_yaml("config.yaml")
    parts = content.get("detector") if isinstance(content, dict) else None
    if not isinstance(parts, Mapping) or not {"net", "postprocessor"} <= parts.keys():
        raise ValueError(f"Expected {folder}/config.yaml to name a detector, but it does not.")
    if not isinstance(content.get("data"), Mapping):
        raise ValueError(f"Expected {folder}/config.yaml to have a section `data`.")
    return dict(content)


def _load_state(detector: torch.nn.Module, state: Mapping[str, Any], path: Path) -> None:
    prefix = "detector."
    own = {k[len(prefix) :]: v for k, v in state.items() if str(k).startswith(prefix)}
    try:
        detector.load_state_dict(own)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"The checkpoint {path} does not fit its run: {reason}") from error


def _numbers(data: DictConfig, key: str) -> list[float]:
    values = data.get(key)
    if values is None:
        raise ValueError(
            f"Expected `data.{key}` in the run's config.yaml, but its data module has none."
        )
    return [float(value) for value in values]


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
