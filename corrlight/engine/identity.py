"""Which run a configuration describes, and where its folder is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from corrlight.engine.build import effective_lr
from corrlight.engine.config import ComposedConfig, to_container
from corrlight.engine.run_folder import RunFolder, data_fingerprint, find_run, run_id

__all__ = ["folder_of_run", "follow_torchrun", "identify", "ranks_per_node"]


def identify(composed: ComposedConfig, data: Any) -> RunFolder:
    """Return the folder of the run, an existing one under any name or the one to make.

    Args:
        composed: The configuration; ``data.num_classes`` is resolved already.
        data: Its data module; the annotation files exist.

    Raises:
        ValueError: ``name`` is no folder name.
    """
    return folder_of_run(composed, data_fingerprint(data.annotation_files))


def folder_of_run(composed: ComposedConfig, fingerprint: Mapping[str, str]) -> RunFolder:
    """Return what :func:`identify` does, for data whose files are read already.

    Args:
        composed: The configuration; ``data.num_classes`` is resolved already.
        fingerprint: Of the data (:func:`corrlight.engine.run_folder.data_fingerprint`).

    Raises:
        ValueError: ``name`` is no folder name.
    """
    config = composed.config
    identity = run_id(
        to_container(config),
        world_size=ranks_per_node(config) * int(config.trainer.num_nodes),
        lr=effective_lr(config),
        fingerprint=fingerprint,
    )
    runs = Path(config.paths.runs_dir)
    choices = composed.choices
    name = str(config.name or "") or f"{choices['detector']}-{choices['corr']}-{choices['data']}"
    if "/" in name or name.startswith(".") or len(name) > 100 or not name.isprintable():
        raise ValueError(f"Expected `name` to be a plain folder name, but got {name!r}.")
    return find_run(runs, identity) or RunFolder(runs / name / identity)


def follow_torchrun(config: DictConfig) -> None:
    """Take the number of ranks from torchrun, where it started this process.

    ``trainer.devices=auto`` and the default of one node become what torchrun says.

    Raises:
        ValueError: The configuration names other numbers.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    nodes = int(os.environ["WORLD_SIZE"]) // local
    trainer = config.trainer
    if trainer.devices in ("auto", -1, "-1"):
        trainer.devices = local
    if trainer.num_nodes == 1:
        trainer.num_nodes = nodes
    for name, given, started in (
        ("devices", ranks_per_node(config), local),
        ("num_nodes", trainer.num_nodes, nodes),
    ):
        if given != started:
            raise ValueError(
                f"Expected `trainer.{name}` to be the {started} that torchrun started, "
                f"but got {given}."
            )


def ranks_per_node(config: DictConfig) -> int:
    """Return the number of processes that ``trainer.devices`` asks for on one machine.

    Raises:
        ValueError: ``trainer.devices`` is no number of devices, list of them or 'auto'.
    """
    devices = config.trainer.devices
    if devices in ("auto", -1, "-1"):
        if config.trainer.accelerator not in ("gpu", "cuda", "auto"):
            return 1
        import torch

        return max(1, torch.cuda.device_count())
    if isinstance(devices, Sequence) and not isinstance(devices, str):
        return len(devices)
    text = str(devices)
    if "," in text:
        return len([part for part in text.split(",") if part.strip()])
    if not text.isdigit() or int(text) < 1:
        raise ValueError(
            f"Expected `trainer.devices` to be a number of devices, a list of them or 'auto', "
            f"but got {devices!r}."
        )
    return int(text)
