"""Pretrained weights of the backbones: torchvision's own, or a file."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import get_model_weights, list_models

__all__ = ["load_resnet_weights", "read_state_dict"]

_HOW = (
    "give the path of a state dict as `backbone.weights=FILE`, "
    "or train from scratch with `backbone.weights=null`"
)
# What damage makes torch and safetensors raise.
_UNREADABLE = (
    *(UnpicklingError, SafetensorError, RuntimeError, EOFError, ValueError),
    *(LookupError, TypeError, AttributeError, ImportError),
)


def _imagenet(architecture: str) -> dict[str, Tensor]:
    if architecture not in list_models():
        raise ValueError(
            f"Expected `weights` to be None or a file for {architecture}, of which torchvision "
            "has none, but got 'imagenet'."
        )
    weights = get_model_weights(architecture)["IMAGENET1K_V1"]
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:  # no network, or a damaged download
        reason = " ".join(str(error).split())
        raise OSError(
            f"ImageNet weights of {architecture} are not cached and cannot be downloaded "
            f"({reason}); {_HOW}."
        ) from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a ``.pth`` or ``.safetensors`` file.

    Raises:
        ValueError: It is missing, unreadable, or no state dict.
    """
    if not path.is_file():
        raise ValueError(
            f"Expected `weights` to be None, 'imagenet' or an existing file, but got '{path}'; "
            f"{_HOW}."
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if reason.startswith("Weights only load failed"):
            # What follows advises to run the code of the file.
            reason = "it is none, or holds more than tensors"
        raise ValueError(
            f"Expected `weights` to be a file with a state dict, but '{path}' cannot be read: "
            f"{reason}"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"Expected `weights` to be a file with a state dict, but got '{path}'.")
    return state


def load_resnet_weights(model: nn.Module, architecture: str, weights: str | Path) -> None:
    """Load ImageNet or file weights into a ResNet; the classifier ``fc`` is left out.

    Offsets of deformable convolutions, which no classifier has, keep their initial zeros.

    Args:
        model: The network, with torchvision's names.
        architecture: Its name in torchvision, such as "resnet50" or "resnext101_64x4d".
        weights: "imagenet", or a ``.pth`` or ``.safetensors`` file.

    Raises:
        ValueError: The file is missing, unreadable, or does not fit the network.
        OSError: ImageNet weights are neither cached nor downloadable.
    """
    if weights == "imagenet":
        if model.get_parameter("conv1.weight").shape[0] != 64:
            raise ValueError("Expected `weights` to be None or a file when `base_width` is not 64.")
        state = _imagenet(architecture)
    else:
        state = read_state_dict(Path(weights))
    own = model.state_dict()
    # A network cut after an early stage does not use the later ones.
    state = {k: v for k, v in state.items() if k in own or not k.startswith(("fc.", "layer"))}
    optional = ("num_batches_tracked", "conv_offset.weight", "conv_offset.bias")
    missing = [k for k in own if k not in state and not k.endswith(optional)]
    unfit = [k for k in own if k in state and state[k].shape != own[k].shape]
    if missing or unfit:
        raise ValueError(
            f"Expected `weights` to fit {architecture}, but {len(missing)} keys are missing and "
            f"{len(unfit)} have another shape (first: '{[*missing, *unfit][0]}')."
        )
    model.load_state_dict(state, strict=False)
