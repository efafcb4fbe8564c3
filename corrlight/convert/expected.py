"""What a detector or backbone of the configuration expects: its tensors and their shapes."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from corrlight.config.allowlist import instantiate
from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from corrlight.detectors.base import Detector
from corrlight.detectors.toolbox_names import NameTable

__all__ = [
    "ExpectedModel",
    "compose_detector",
    "expected_backbone",
    "expected_detector",
]

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExpectedModel:
    """A model of the configuration, without its weights.

    Attributes:
        shapes: Shape of every tensor of its state dict, under our names.
        rules: The detector's table of the toolbox's names; empty for a backbone.
        extras: Tensors of the module beside the detector, which no other checkpoint has.
        detector: The detector, on the meta device; None for a backbone.
    """

    shapes: dict[str, Shape]
    rules: NameTable = ()
    extras: dict[str, Tensor] | None = None
    detector: Detector | None = None


def compose_detector(detector: str, overrides: Sequence[str]) -> DictConfig:
    """Return the configuration of a file of ``conf/detector``.

    Raises:
        ValueError: An unknown detector or option.
    """
    return copy.deepcopy(_composed(f"detector={detector}", "backbone.weights=null", *overrides))


# A conversion there and back, or one of several files, asks for the same one again, and composing
# takes longer than all the rest.
@functools.lru_cache(maxsize=8)
def _composed(*overrides: str) -> DictConfig:
    return compose_config(overrides).config


def expected_detector(config: DictConfig, num_classes: int) -> ExpectedModel:
    """Return what a detector expects with so many classes.

    Raises:
        ValueError: An option out of range, or a detector without a table of names.
    """
    OmegaConf.update(config, "data.num_classes", num_classes)
    with torch.device("meta"):
        module = build_module(config)
    rules = getattr(module.detector, "toolbox_names", None)
    if rules is None:
        raise ValueError(f"Expected a detector with `toolbox_names`, but got {module.detector}.")
    extras = {name for name in module.state_dict() if not name.startswith("detector.")}
    whole = build_module(config).state_dict() if extras else {}
    return ExpectedModel(
        shapes={k: tuple(v.shape) for k, v in module.detector.state_dict().items()},
        rules=rules,
        extras={name: whole[name] for name in extras},
        detector=module.detector,
    )


def expected_backbone(backbone: str, overrides: Sequence[str]) -> ExpectedModel:
    """Return what a file of ``conf/backbone`` expects.

    Raises:
        ValueError: An unknown backbone or option.
    """
    options = [f"backbone={backbone}", "backbone.weights=null", *overrides]
    config = compose_config(options).config.backbone
    with torch.device("meta"):
        model = instantiate(config)
    return ExpectedModel({k: tuple(v.shape) for k, v in model.state_dict().items()})
