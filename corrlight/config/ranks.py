"""The processes of a run: how many, and which of them writes."""

from __future__ import annotations

import os
from collections.abc import Sequence

from omegaconf import DictConfig

__all__ = ["follow_torchrun", "is_main_process", "ranks_per_node"]


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


def is_main_process() -> bool:
    """Return whether this process writes: rank 0, known before any process group exists.

    Lightning's launcher, torchrun and srun each name the rank in other variables.
    """
    environment = os.environ
    if "LOCAL_RANK" in environment:
        node = environment.get("GROUP_RANK", environment.get("NODE_RANK", "0"))
        return int(environment["LOCAL_RANK"]) == 0 and int(node) == 0
    if "SLURM_NTASKS" in environment:
        return int(environment.get("SLURM_PROCID", "0")) == 0
    return int(environment.get("NODE_RANK", "0")) == 0
