"""Compiling a detector, part by part."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import torch
from torch import nn

__all__ = ["check_compiler", "compile_parts"]

# These hold parts; nothing calls them.
_HOLDERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


def check_compiler() -> None:
    """Check that there is what Inductor compiles with on a CPU; on a GPU it brings its own.

    Raises:
        ValueError: If not.
    """
    if torch.accelerator.is_available():
        return
    if shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("clang++") is None:
        raise ValueError(
            "Expected a C++ compiler for `compile=true`, but found neither g++ nor clang++ nor "
            "what CXX names."
        )


def compile_parts(detector: nn.Module) -> list[str]:
    """Have the networks of a detector compiled when they are first called.

    Backbone, neck and heads are functions of tensors alone and compile as they are, once for the
    first size of image and once for all others. What the detector does around them depends on the
    sizes of each image, as numbers, and would be compiled for every one of them.

    Weights keep their names: a checkpoint does not tell whether its model was compiled.

    Args:
        detector: Changed in place.

    Returns:
        The names of the parts.
    """
    names = []
    for name, part in _parts(detector, ""):
        # Sizes vary from the second one on; nothing is known of the first.
        part.compile()
        names.append(name)
    return names


def _parts(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if isinstance(child, _HOLDERS):
            yield from _parts(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child
