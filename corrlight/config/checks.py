"""Options that are wrong whatever the parts of a run say; checking them imports no torch."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from omegaconf import DictConfig, OmegaConf

from corrlight.arguments import check_choice, check_number
from corrlight.config.ranks import ranks_per_node

__all__ = ["check_options", "check_precision", "check_ranks"]

_COUNTS = (
    "trainer.max_epochs", "trainer.num_nodes", "trainer.check_val_every_n_epoch",
    "trainer.accumulate_grad_batches", "data.batch_size", "schedule.reference_batch_size",
)  # fmt: skip
_SWITCHES = (
    "fast_cpu", "compile", "rerun", "dump_raw", "data.load_masks", "data.train_ignore_crowd",
    "data.filter_empty", "data.group_by_aspect",
)  # fmt: skip
_SECTIONS = (
    "detector", "data", "schedule", "trainer", "paths", "schedule.optimizer", "detector.net",
    "detector.assigner", "detector.criterion", "detector.postprocessor",
)  # fmt: skip
# Of named parts, each a section of its own; null switches one off.
_PARTS = ("callbacks", "logger", "metric", "test_metric", "loss_callbacks")
# Processes that any machine takes: more than its cores only try a setting of many GPUs out.
_RANKS_ON_CPU = 8


def check_options(config: DictConfig) -> None:
    """Check what no part checks by itself, before anything is built.

    Raises:
        ValueError: The message names the option.
    """
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    for name in _SECTIONS:
        _section(name, OmegaConf.select(config, name))
    for group in _PARTS:
        for key, part in _section(group, plain.get(group) or {}).items():
            _section(f"{group}.{key}", {} if part is None else part)
    check_choice("mode", config.mode, ("train", "test"))
    _check_criterion(config)
    if type(config.seed) is not int or config.seed < 0:
        raise ValueError(f"Expected `seed` to be a number of at least 0, but got {config.seed!r}.")
    for name in _SWITCHES:
        section, _, key = name.rpartition(".")
        holder = OmegaConf.select(config, section) if section else config
        # Runs of before an option, and data of other kinds, do not have it.
        if key in holder and type(holder[key]) is not bool:
            raise ValueError(f"Expected `{name}` to be true or false, but got {holder[key]!r}.")
    for key, part in (plain.get("loss_callbacks") or {}).items():
        if part is not None and str(part.get("_target_")).startswith("corrlight."):
            check_number("corr.weight" if key == "corr" else f"{key}.weight", part.get("weight"))
    ema, patience = config.ema, config.patience
    if type(ema) is not bool and not (type(ema) is float and 0 < ema < 1):
        raise ValueError(f"Expected `ema` to be true, false or in (0, 1), but got {ema!r}.")
    if patience is not None and (type(patience) is not int or patience < 1):
        raise ValueError(f"Expected `patience` to be null or at least 1, but got {patience!r}.")
    if not isinstance(config.paths.get("runs_dir"), str):
        raise ValueError(
            f"Expected `paths.runs_dir` to be a folder, but got {config.paths.get('runs_dir')!r}."
        )
    for name in _COUNTS:
        count = OmegaConf.select(config, name)
        if type(count) is not int or count < 1:
            raise ValueError(f"Expected `{name}` to be at least 1, but got {count!r}.")
    check_number("lr", config.schedule.get("lr"), above=0)
    # Parameters stay float32: the other modes of Lightning cannot convert our batches.
    check_choice(
        "trainer.precision", config.trainer.precision, ("32-true", "bf16-mixed", "16-mixed")
    )
    for name, why in (
        ("limit_val_batches", "the last epoch is validated"),
        ("limit_train_batches", "without batches nothing is trained"),
    ):
        if config.trainer.get(name) in (0, False):
            raise ValueError(
                f"Expected `trainer.{name}` to be positive, since {why}, but got "
                f"{config.trainer[name]!r}."
            )
    clip = config.trainer.gradient_clip_val
    if clip is not None and not (isinstance(clip, (int, float)) and 0 < clip < math.inf):
        raise ValueError(
            f"Expected `trainer.gradient_clip_val` to be positive or null, but got {clip!r}."
        )


def _check_criterion(config: DictConfig) -> None:
    # Runs of before the option do not have it.
    criterion = config.get("criterion", "default")
    check_choice("criterion", criterion, ("default", "own"))
    always = str(config.detector.criterion.get("_target_")).endswith(".OwnCriterion")
    if criterion == "own" and not always and "parts" not in config.detector:
        raise ValueError(
            "Expected `criterion` to be default, as only detectors of transformers (hf_...) have a "
            f"loss of their own to choose, but got 'own' with {config.detector.get('name')}."
        )


def check_ranks(config: DictConfig) -> None:
    """Check that this machine can run the ranks, and that they can share a batch.

    Raises:
        ValueError: The message names the option.
    """
    import torch

    ranks, most = ranks_per_node(config), max(_RANKS_ON_CPU, os.cpu_count() or 1)
    if ranks > most and (config.trainer.accelerator == "cpu" or not torch.cuda.is_available()):
        raise ValueError(
            f"Expected `trainer.devices` to be at most {most} without GPUs, where every one is a "
            f"process of its own, but got {ranks}."
        )
    everywhere = ranks * config.trainer.num_nodes
    if config.mode == "train" and config.data.batch_size % everywhere:
        raise ValueError(
            f"Expected `data.batch_size` to be a multiple of the {everywhere} ranks that share "
            f"it, but got {config.data.batch_size}."
        )


def check_precision(config: DictConfig) -> None:
    """Check that this machine has the precision: on a CPU, Lightning would take another one.

    Raises:
        ValueError: For float16 on a CPU.
    """
    import torch

    on_cpu = config.trainer.accelerator == "cpu" or not torch.accelerator.is_available()
    if config.trainer.precision == "16-mixed" and on_cpu:
        raise ValueError(
            "Expected `trainer.precision` to be 32-true or bf16-mixed on a CPU, which has no "
            "float16, but got '16-mixed'."
        )


def _section(name: str, value: object) -> Mapping[object, object]:
    if not isinstance(value, Mapping):
        raise ValueError(f"Expected `{name}` to be a section of options, but got {value!r}.")
    return value
