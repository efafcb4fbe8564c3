"""A run folder as a training leaves it, without the training: random weights that find things."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from corrlight.config.build import build_module
from corrlight.config.compose import compose_config, to_container
from corrlight.runs.folder import RunFolder

NAMES, IDS = ["circle", "square", "star"], [3, 1, 7]


def make_run(path: Path, detector: str = "atss_small", *overrides: str, seed: int = 0) -> Path:
    """Write ``config.yaml`` and ``checkpoints/last.ckpt`` into ``path`` and return it.

    The classifiers are drawn with a spread: those of a network that has just begun give every
    hypothesis the same score.
    """
    options = [f"detector={detector}", "data.num_classes=3", *overrides]
    config = compose_config(options).config
    torch.manual_seed(seed)
    module = build_module(config, category_ids=IDS, class_names=NAMES)
    for name, part in module.detector.named_modules():
        last = name.rpartition(".")[2]
        if last in ("classifier", "cls") and isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.normal_(part.weight, std=0.2)
            nn.init.constant_(part.bias, -1.0)
        elif last in ("regressor", "reg") and isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.normal_(part.weight, std=0.02)
    folder = RunFolder(path)
    folder.create()
    folder.write_yaml("config.yaml", to_container(config))
    content = {"state_dict": module.state_dict(), "class_names": NAMES, "category_ids": IDS}
    torch.save({**content, "epoch": 0}, path / "checkpoints" / "last.ckpt")
    return path
