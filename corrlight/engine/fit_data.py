"""What a configuration leaves to the data: the sizes of anchors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from corrlight.data.fitting.anchor_fit import anchor_shapes, best_scale
from corrlight.runs.folder import RunFolder

__all__ = ["AUTO", "fit_to_data"]

AUTO = "auto"
# Options that the data can decide.
_KEYS = ("detector.net.anchor_scale", "detector.net.anchor_sizes")
# Edge of an anchor in strides that the search starts from.
_START = 4.0


def fit_to_data(config: DictConfig, data: Any) -> DictConfig:
    """Return ``config`` with the numbers that stand for ``auto``; itself where there is none.

    A training takes them from the sizes of its objects, a test from its run's ``config.yaml``:
    pictures to be tested must not change a network that is trained.

    Args:
        config: The configuration.
        data: Its data module.

    Raises:
        ValueError: ``auto`` where nothing is known to decide by.
    """
    keys = [key for key in _KEYS if OmegaConf.select(config, key) == AUTO]
    if not keys:
        return config
    fitted = config.copy()
    for key in keys:
        value = _stored(config, key) if config.mode == "test" else _from_data(config, key, data)
        OmegaConf.update(fitted, key, value)
    return fitted


def _from_data(config: DictConfig, key: str, data: Any) -> Any:
    net = config.detector.net
    strides = net.get("strides")
    if not strides:
        raise ValueError(
            f"Expected `{key}`=auto beside `detector.net.strides`, but the detector's are those of "
            "its published picture size."
        )
    per_octave = int(net.get("scales_per_octave", 1))
    scales = [2 ** (i / per_octave) for i in range(per_octave)]
    edges = [_START * stride for stride in strides]
    shapes, owners = anchor_shapes(strides, edges, scales, list(net.get("ratios", [1.0])))
    scale = round(_START * best_scale(data.train_object_sizes(), shapes, owners), 3)
    if key.endswith("anchor_scale"):
        return scale
    return [round(scale * stride, 2) for stride in strides]


def _stored(config: DictConfig, key: str) -> Any:
    path = Path(str(config.ckpt))
    folder = path if path.is_dir() else path.parent.parent
    if (folder / "config.yaml").is_file():
        stored = RunFolder(folder).read_yaml("config.yaml")
        value = OmegaConf.select(OmegaConf.create(stored), key)
        if value not in (None, AUTO):
            return value
    raise ValueError(
        f"Expected `{key}` to be what {config.ckpt} was trained with, but got auto and no run "
        "folder that says it."
    )
