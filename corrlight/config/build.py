"""Configuration to objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from corrlight.config.allowlist import instantiate
from corrlight.learning_rate import scaled_lr

__all__ = [
    "Built",
    "build_data",
    "build_module",
    "build_trainer_parts",
    "effective_lr",
    "instantiate_all",
]


@dataclass(frozen=True, slots=True)
class Built:
    """The parts of a trainer that a configuration describes."""

    callbacks: list[Any]
    logger: Any


def build_data(config: DictConfig, allow_targets: Sequence[str] = ()) -> Any:
    """Return the data module; writes the resolved number of classes into ``config.data``."""
    data = instantiate(config.data, allow_targets)
    if config.data.get("num_classes") is None:
        OmegaConf.update(config, "data.num_classes", len(data.class_names), force_add=True)
    return data


def effective_lr(config: DictConfig) -> float:
    """Return the learning rate scaled to the batch of one optimiser step."""
    schedule = config.schedule
    batch = config.data.batch_size * config.trainer.accumulate_grad_batches
    return scaled_lr(schedule.lr, batch, schedule.reference_batch_size)


def build_module(
    config: DictConfig,
    *,
    evaluator: Any = None,
    category_ids: Sequence[int] = (),
    class_names: Sequence[str] = (),
    allow_targets: Sequence[str] = (),
) -> Any:
    """Return the :class:`corrlight.module.DetectionModule` that ``config`` describes."""
    from corrlight.module import DetectionModule

    detector = config.detector
    schedule = config.schedule
    scheduler = schedule.get("scheduler")
    return DetectionModule(
        detector=instantiate(detector.net, allow_targets),
        assigner=instantiate(detector.assigner, allow_targets),
        criterion=instantiate(detector.criterion, allow_targets),
        postprocessor=instantiate(detector.postprocessor, allow_targets),
        loss_callbacks=instantiate_all(config.get("loss_callbacks"), allow_targets),
        optimizer=instantiate(schedule.optimizer, allow_targets),
        lr=effective_lr(config),
        lr_multipliers=OmegaConf.to_container(schedule.lr_multipliers),  # type: ignore[arg-type]
        scheduler=None if scheduler is None else instantiate(scheduler, allow_targets),
        evaluator=evaluator,
        category_ids=category_ids,
        class_names=class_names,
    )


def build_trainer_parts(
    config: DictConfig, save_dir: str, allow_targets: Sequence[str] = ()
) -> Built:
    """Return callbacks and loggers; empty choices (``logger=csv``) give none."""
    loggers = instantiate_all(config.logger, allow_targets, save_dir=save_dir)
    callbacks = instantiate_all(config.get("callbacks"), allow_targets)
    return Built(callbacks=list(callbacks.values()), logger=list(loggers.values()) or False)


def instantiate_all(
    nodes: Mapping[Any, Any] | None, allow_targets: Sequence[str], **kwargs: Any
) -> dict[str, Any]:
    """Return an object for each node that names a target; ``none`` composes to an empty node."""
    return {
        str(name): instantiate(node, allow_targets, **kwargs)
        for name, node in (nodes or {}).items()
        if node is not None and node.get("_target_") is not None
    }
