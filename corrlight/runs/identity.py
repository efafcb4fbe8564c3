"""What makes two runs the same run: the options that may change a number, and the id."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from corrlight import RESULTS_VERSION

__all__ = ["NO_RESULT", "changed_part", "flatten", "relevant_options", "run_id"]

# Sections of the configuration that change no number of a run.
NO_RESULT = (
    "paths", "logger", "name", "tags", "mode", "ckpt", "resume", "rerun", "allow_targets",
    "optimized_metric", "test_metric", "dump_raw",
    "criterion",  # what it chooses is in the detector's part
    # Rounding and the draws of dropout differ, as between kinds of devices, no part of it either.
    "fast_cpu", "compile",
)  # fmt: skip
# Callbacks that only watch. Any other may act on the training, as early stopping and averages of
# the weights do.
_WATCHING = (
    *(
        f"corrlight.callbacks.{name}"
        for name in ("RunCheckpoint", "EpochProgress", "DetectionPictures", "MeasurePanels")
    ),
    *(
        f"lightning.pytorch.callbacks.{name}"
        for name in (
            "DeviceStatsMonitor", "LearningRateMonitor", "ModelSummary", "RichModelSummary",
            "RichProgressBar", "TQDMProgressBar", "ThroughputMonitor",
        )
    ),
)  # fmt: skip
_GUARD = "corrlight.callbacks.NonFiniteGuard"
_NO_RESULT_IN = {
    "trainer": ("accelerator", "devices", "num_nodes", "strategy", "log_every_n_steps"),
    "data": (
        "num_workers",
        "loader_seconds",
        "cache",
        "split",
        "test_dev_images",
        "test_dev_annotations",
    ),
}


# Switches that are newer than the first runs, by the value that makes no other run.
_OFF: dict[str, Any] = {"ema": False, "patience": None}
_OFF_IN: dict[str, dict[str, Any]] = {"corr": {"ramp": 0}}
_USUAL = "val/AP"

# Where the data are; which they are is in their fingerprint.
_PLACES = (
    "root",
    *(f"{s}_{w}" for s in ("train", "val", "test") for w in ("images", "annotations")),
)


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the options of a configuration by their full names, ``corr.weight`` for example."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def relevant_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a resolved configuration that may change a number of its run."""
    relevant = {key: value for key, value in config.items() if key not in NO_RESULT}
    for section, names in _NO_RESULT_IN.items():
        if isinstance(relevant.get(section), Mapping):
            relevant[section] = {k: v for k, v in relevant[section].items() if k not in names}
    acting = {
        name: options
        for name, options in (relevant.pop("callbacks", None) or {}).items()
        if isinstance(options, Mapping) and _acts(options)
    }
    if acting:
        relevant["callbacks"] = acting
    for name, off in _OFF.items():
        if relevant.get(name) == off:
            relevant.pop(name, None)
    for section, switches in _OFF_IN.items():
        if isinstance(options := relevant.get(section), Mapping):
            relevant[section] = {
                k: v for k, v in options.items() if k not in switches or v != switches[k]
            }
    if "patience" in relevant and config.get("optimized_metric", _USUAL) != _USUAL:
        relevant["optimized_metric"] = config["optimized_metric"]  # It decides when the run ends.
    data = relevant.get("data")
    if isinstance(data, Mapping) and data.get("root") is not None:
        relevant["data"] = {**data, "root": os.path.abspath(data["root"])}
    return relevant


def changed_part(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """Return an option by which a training is another one, not a longer one of the same, or None.

    Options that only one side has are of another version. Where the data lie, the trainer and the
    schedule may change.

    Args:
        old: Resolved configuration of a run that is to be trained longer.
        new: Of the longer run.

    Returns:
        Its name, and what it was and is.
    """
    sides = [relevant_options(config) for config in (old, new)]
    for section in ("seed", "detector", "backbone", "loss", "corr", "loss_callbacks", "data"):
        before, after = (side.get(section) for side in sides)
        if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
            if before != after:
                return section, before, after
            continue
        flat = [
            {k: v for k, v in flatten(part) if section != "data" or k not in _PLACES}
            for part in (before, after)
        ]
        for key in sorted(flat[0].keys() & flat[1].keys()):
            if flat[0][key] != flat[1][key]:
                return f"{section}.{key}", flat[0][key], flat[1][key]
    return None


def _acts(callback: Mapping[str, Any]) -> bool:
    target = callback.get("_target_")
    # A guard that raises lets no other run end; one that skips steps does.
    return target not in _WATCHING and (target != _GUARD or callback.get("policy") != "raise")


def run_id(
    config: Mapping[str, Any], *, world_size: int, lr: float, fingerprint: Mapping[str, str]
) -> str:
    """Return the 12-digit id of a run: equal for runs that have to give equal numbers.

    Args:
        config: The resolved configuration.
        world_size: Number of ranks; the global batch is split over them.
        lr: The learning rate after scaling.
        fingerprint: Of the data (:func:`data_fingerprint`) and of the weights that it starts from
            (:func:`corrlight.runs.initial.initial_digest`).
    """
    options = relevant_options(config)
    for name in ("init", "extend"):  # By content in the fingerprint, nothing where they are null.
        options.pop(name, None)
    if isinstance(options.get("data"), Mapping):
        options["data"] = {k: v for k, v in options["data"].items() if k not in _PLACES}
    record = {
        "config": _by_value(options),
        "world_size": world_size,
        "lr": _by_value(lr),
        "data": dict(fingerprint),
        "results_version": RESULTS_VERSION,
    }
    text = json.dumps(record, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _by_value(value: Any) -> Any:
    """Return ``value`` with whole numbers as integers: ``1`` and ``1.0`` are one option."""
    if isinstance(value, Mapping):
        return {key: _by_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_by_value(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
