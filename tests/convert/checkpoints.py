"""Checkpoints of small models as the toolbox would write them."""

from functools import cache

import torch
from hydra.utils import get_class

from corrlight.config.build import build_module
from corrlight.config.compose import config_dir
from corrlight.convert.expected import compose_detector
from corrlight.detectors.toolbox_names import to_toolbox_names

NUM_CLASSES = 5


def declares_names(detector):
    """Return whether a file of ``conf/detector`` is of a detector with a table of names."""
    return hasattr(get_class(compose_detector(detector, []).detector.net._target_), "toolbox_names")


SMALL = sorted(
    p.stem for p in (config_dir() / "detector").glob("*_small.yaml") if declares_names(p.stem)
)


# What the published detectors do not have.
OVERRIDES = {"detr_small": ["detector.net.references=false", "detector.net.norm_first=false"]}


def overrides_of(detector):
    """Return options that make a small detector one that the toolbox has too."""
    return OVERRIDES.get(detector, [])


@cache
def small_module(detector):
    """Return a module with random weights everywhere, statistics too."""
    torch.manual_seed(1)
    module = build_module(
        compose_detector(detector, [f"data.num_classes={NUM_CLASSES}", *overrides_of(detector)])
    )
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
