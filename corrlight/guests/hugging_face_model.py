"""Detectors of transformers by the name of their configuration, or from a folder."""

from __future__ import annotations

import copy
import importlib.util
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from corrlight.json_files import read_json

__all__ = ["make_model"]

_log = logging.getLogger(__name__)

# What the set criterion asks for: every decoder layer, and each query once.
_ONE_TO_ONE = {"auxiliary_loss": True, "num_denoising": 0, "group_detr": 1}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_model(
    num_classes: int,
    model: str | None,
    checkpoint: Path | str | None,
    overrides: Mapping[str, Any],
    *,
    one_to_one: bool,
) -> Any:
    """Return a detector of transformers; nothing is downloaded.

    Args:
        num_classes: Of the data.
        model: ``model_type`` of its configuration, such as ``rt_detr_v2``.
        checkpoint: Folder that ``save_pretrained`` wrote, instead of ``model``.
        overrides: Options of the configuration.
        one_to_one: Without denoising queries and groups of queries, and with the outputs of every
            decoder layer.

    Raises:
        ValueError: transformers is missing, there is no such detector or folder, or an option is
            none of its configuration.
    """
    if importlib.util.find_spec("transformers") is None:
        raise ValueError(
            "Expected transformers to be installed, which this detector is from, but it is not: "
            "pip install 'corrlight[hf]'."
        )
    if (model is None) == (checkpoint is None):
        raise ValueError(
            "Expected one of `detector.model` (rt_detr_v2, ...) and `detector.checkpoint` (a "
            f"folder), but got {model!r} and {checkpoint!r}."
        )
    if checkpoint is not None:
        made = _loaded(Path(checkpoint), num_classes, dict(overrides), one_to_one)
    else:
        made = _from_config(_named(str(model), num_classes, dict(overrides)), one_to_one)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(_in_order)
    return made


def _in_order(norm: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    """Bring the gradient of one normalised image into the order of its numbers.

    RT-DETR and its kin flatten it to tokens, and PyTorch's backward of batch normalisation on the
    CPU (2.8 to 2.15) reads the gradient of a single image that comes from there in a wrong order.
    """
    if len(output) == 1 and output.requires_grad and output.device.type == "cpu":
        output.register_hook(Tensor.contiguous)


def _named(model: str, num_classes: int, overrides: dict[str, Any]) -> Any:
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES as NAMES,
    )

    if model not in NAMES:
        raise ValueError(
            f"Expected `detector.model` to be one of {', '.join(sorted(NAMES))}, but got {model!r}."
        )
    default = AutoConfig.for_model(model)
    _check_options(model, default, overrides)
    # transformers 4.50 takes entries out of a `backbone_config`.
    wanted = copy.deepcopy(overrides)
    if hasattr(default, "use_pretrained_backbone"):
        # That would be a download.
        wanted.setdefault("use_pretrained_backbone", False)
    return AutoConfig.for_model(model, num_labels=num_classes, **wanted)


def _check_options(model: str, default: Any, overrides: Mapping[str, Any]) -> None:
    # Those of a timm backbone are read and dropped by newer versions.
    known = {*default.to_dict(), "use_timm_backbone", "use_pretrained_backbone", "backbone"}
    known |= {*getattr(default, "attribute_map", {})}
    for name in overrides:
        if name not in known:
            raise ValueError(
                f"Expected `detector.overrides` to name options of {type(default).__name__} of "
                f"transformers, but {model} has no {name!r}."
            )


def _one_to_one(config: Any) -> None:
    for name, value in _ONE_TO_ONE.items():
        # YOLOS has the option, but no layers between: asked for them, it fails.
        if hasattr(config, name) and config.model_type != "yolos":
            setattr(config, name, value)


def _from_config(config: Any, one_to_one: bool) -> nn.Module:
    from transformers import AutoModelForObjectDetection

    if one_to_one:
        _one_to_one(config)
    try:
        made: nn.Module = AutoModelForObjectDetection.from_config(config)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"Expected what {config.model_type} of transformers needs to be installed, but: "
            f"{reason} (a `backbone_config` in `detector.overrides` needs no timm)."
        ) from error
    for scale in (m.weight for m in made.modules() if isinstance(m, nn.BatchNorm2d) and m.affine):
        # RT-DETR v2 draws these scales around 0, as if a checkpoint always followed: from scratch
        # next to nothing passes its encoder at first. Constants are meant so.
        if not scale.is_meta and scale.std() > 0:
            nn.init.ones_(scale)
    return made


def _loaded(
    folder: Path, num_classes: int, overrides: dict[str, Any], one_to_one: bool
) -> nn.Module:
    from transformers import AutoConfig, AutoModelForObjectDetection

    if not (folder / "config.json").is_file():
        raise ValueError(
            "Expected `detector.checkpoint` to be a folder that save_pretrained of transformers "
            f"wrote, with a config.json, but got {folder}."
        )
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    _check_options(config.model_type, config, overrides)
    for name, value in overrides.items():
        setattr(config, name, value)
    if config.num_labels != num_classes:
        config.num_labels = num_classes
    if one_to_one:
        groups = getattr(config, "group_detr", 1)
        _one_to_one(config)
        if groups > 1:
            config.group_detr = groups
    if torch.get_default_device().type == "meta":
        # Shapes alone are wanted.
        bare = _from_config(config, False)
        return _first_group(bare) if one_to_one else bare
    model, report = AutoModelForObjectDetection.from_pretrained(
        folder,
        config=config,
        local_files_only=True,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    model = model.float()
    new = sorted({*report["missing_keys"], *(m[0] for m in report["mismatched_keys"])})
    if new:
        _log.warning(
            "%d of %d tensors of %s start new, as %s has none that fit: %s%s.",
            len(new),
            len(model.state_dict()),
            type(model).__name__,
            folder,
            ", ".join(new[:4]),
            ", ..." if len(new) > 4 else "",
        )
    made: nn.Module = _first_group(model) if one_to_one else model
    return made


def _first_group(model: Any) -> Any:
    """Return a model with the first group of queries alone, the one used at inference."""
    if getattr(model.config, "group_detr", 1) == 1:
        return model
    state = model.state_dict()
    config = model.config
    config.group_detr = 1
    single = type(model)(config)
    single.load_state_dict(
        {name: state[name][: len(own)] for name, own in single.state_dict().items() if own.ndim}
        | {name: state[name] for name, own in single.state_dict().items() if not own.ndim}
    )
    return single.train(model.training)


def check_normalization(
    checkpoint: Path | str, mean: Sequence[float], std: Sequence[float]
) -> None:
    """Check that the data are normalised as the checkpoint's processor does it.

    Args:
        checkpoint: Folder; without a ``preprocessor_config.json`` there is nothing to check.
        mean: Of the data, three channels of 0 to 255.
        std: Likewise.

    Raises:
        ValueError: They are not; names the options.
    """
    file = Path(checkpoint) / "preprocessor_config.json"
    if not file.is_file():
        return
    said = read_json(file, "configuration of a processor")
    scale = said.get("rescale_factor", 1 / 255) if said.get("do_rescale", True) else 1.0
    wanted_mean, wanted_std = [0.0] * 3, [1.0] * 3
    if said.get("do_normalize", True):
        wanted_mean = list(said.get("image_mean") or _MEAN)
        wanted_std = list(said.get("image_std") or _STD)
    expected = torch.tensor([wanted_mean, wanted_std], dtype=torch.float64) / scale
    found = torch.tensor([list(mean), list(std)], dtype=torch.float64)
    # To a hundredth of a grey value.
    if not torch.allclose(expected, found, atol=0.01, rtol=1e-4):
        texts = [
            json.dumps([round(v, 3) for v in row]).replace(" ", "") for row in expected.tolist()
        ]
        raise ValueError(
            f"Expected images normalised as {file} says, but the data's mean and std are others: "
            f"data.mean={texts[0]} data.std={texts[1]}."
        )
