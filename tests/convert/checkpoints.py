"""Checkpoints of small models as the toolbox would write them."""

from functools import cache

import torch
from hydra.utils import get_class
from omegaconf import OmegaConf

from corrlight.config.build import build_module
from corrlight.config.compose import config_dir
from corrlight.convert.expected import compose_detector
from corrlight.detectors.toolbox_names import to_toolbox_names

NUM_CLASSES = 5


def declares_names(detector):
    """Return whether a file of ``conf/detector`` is of a detector with a table of names."""
    return hasattr(get_class(_target(detector)), "toolbox_names")


def _target(detector):
    """Return the class of a file's network; composing all files would take seconds."""
    content = OmegaConf.load(config_dir() / "detector" / f"{detector}.yaml")
    own = OmegaConf.select(content, "net._target_")
    if own is not None:
        return own
    names = (entry for entry in content.defaults if isinstance(entry, str) and "@" not in entry)
    (base,) = (name for name in names if name != "_self_")
    return _target(base)


# What the published detectors do not have.
OVERRIDES = {"detr_small": ["detector.net.references=false", "detector.net.norm_first=false"]}


def overrides_of(detector):
    """Return options that make a small detector one that the toolbox has too."""
    return OVERRIDES.get(detector, [])


@cache
def small_module(detector):
    """Return a module with random weights everywhere, statistics too."""
    torch.manual_seed(1)
    config = compose_detector(detector, overrides_of(detector))
    config.data.num_classes = NUM_CLASSES
    module = build_module(config)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 1.0)
    return module


def toolbox_state(detector, version="3.x"):
    """Return its weights under the toolbox's names."""
    module = small_module(detector)
    state = module.detector.state_dict()
    return to_toolbox_names(state, module.detector.toolbox_names, version)
