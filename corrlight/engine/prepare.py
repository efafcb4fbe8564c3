"""All parts of a run, built and checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from omegaconf import DictConfig, OmegaConf

from corrlight.config.build import build_data, build_module, instantiate_all
from corrlight.config.checks import check_options, check_precision, check_ranks
from corrlight.config.compose import ComposedConfig, to_container
from corrlight.config.ranks import follow_torchrun, is_main_process
from corrlight.engine.class_rows import ClassRows, rows_of_module
from corrlight.engine.compiled import check_compiler, compile_parts
from corrlight.engine.fit_data import fit_to_data
from corrlight.engine.options.followed import check_followed
from corrlight.engine.trainer import make_trainer
from corrlight.engine.transfer import Transfer, check_longer, check_same, start_from
from corrlight.metrics.evaluator import DetectionEvaluator
from corrlight.ops.allocator import keep_freed_memory
from corrlight.ops.switch import set_fast_cpu
from corrlight.runs.folder import NAMED_CHECKPOINTS, RunFolder
from corrlight.runs.initial import initial_file
from corrlight.runs.locate import identify
from corrlight.runs.recorder import Recorder

__all__ = ["Run", "prepare"]


@dataclass(frozen=True, slots=True)
class Run:
    """Everything of a run that is known before it starts; building it has checked all input.

    Attributes:
        config: Resolved configuration.
        data: The data module.
        module: The detection module.
        trainer: The trainer, bound to ``folder``.
        recorder: Its rows and times.
        folder: Where results go.
        finished: Whether the folder holds the results already.
        class_rows: Returns which tensors of the module list classes.
        transfer: What the module took from the file that ``init`` names, None without one.
    """

    config: DictConfig
    data: Any
    module: Any
    trainer: pl.Trainer
    recorder: Recorder
    folder: RunFolder
    finished: bool
    class_rows: Callable[[], Mapping[str, ClassRows]]
    transfer: Transfer | None = None


def prepare(composed: ComposedConfig) -> Run:
    """Build and check all parts of a run.

    Nothing is written yet; whatever is wrong with configuration or data raises ``ValueError`` or
    ``OSError`` here, before the first batch.
    """
    config = composed.config
    allow = list(config.get("allow_targets") or [])
    check_options(config)
    follow_torchrun(config)
    check_ranks(config)
    check_precision(config)
    set_fast_cpu(config.fast_cpu)
    keep_freed_memory()
    pl.seed_everything(config.seed, workers=True, verbose=False)
    data = build_data(config, allow)
    data.prepare_data()
    data.setup("fit" if config.mode == "train" else "test")
    folder = identify(composed, data)
    if config.mode == "test" and str(config.ckpt) in NAMED_CHECKPOINTS:
        config = config.copy()
        config.ckpt = str(_own_checkpoint(folder, str(config.ckpt)))
    config = fit_to_data(config, data)
    evaluator = _evaluator(config, data, allow)
    module = build_module(
        config,
        evaluator=evaluator,
        category_ids=data.category_ids,
        class_names=data.class_names,
        allow_targets=allow,
    )
    plain = to_container(config)
    rows = partial(rows_of_module, config, allow)
    transfer = None
    if config.mode == "train" and not folder.finished:
        if is_main_process():  # It alone evaluates.
            check_followed(str(config.optimized_metric), evaluator)
        if config.extend is not None:
            last = initial_file(config.extend, "extend")
            check_same(plain, last)
            check_longer(module, last, int(config.trainer.max_epochs))
        if config.init is not None:
            transfer = start_from(module, initial_file(config.init), rows(), data.class_names)
    if config.compile:
        check_compiler()
        compile_parts(module.detector)
    # Lightning builds the optimizer after training has begun; its options are checked now.
    module.build_optimizer(steps_per_epoch=1)
    recorder = Recorder(folder)
    trainer = make_trainer(config, folder, recorder, allow)
    return Run(
        config=OmegaConf.create(plain),
        data=data,
        module=module,
        trainer=trainer,
        recorder=recorder,
        folder=folder,
        finished=folder.finished,
        class_rows=rows,
        transfer=transfer,
    )


def _own_checkpoint(folder: RunFolder, name: str) -> Path:
    """Return a checkpoint of the run that the options describe; a file of this name is taken."""
    given, own = Path(name), folder.checkpoint(NAMED_CHECKPOINTS[name])
    if given.exists():
        return given
    if not own.is_file():
        raise ValueError(
            f"Expected `ckpt={name}` beside the options of a run that is made, but there is no "
            f"{own}."
        )
    return own


def _evaluator(config: DictConfig, data: Any, allow: list[str]) -> DetectionEvaluator:
    metrics = instantiate_all(config.get("metric"), allow)
    annotated, file, ids = True, data.val_annotation_file, data.category_ids
    if config.mode == "test":
        metrics |= instantiate_all(config.get("test_metric"), allow)
        annotated, file = data.test_annotated, data.test_annotation_file
        ids = data.test_category_ids
    return DetectionEvaluator(
        file,
        ids,
        list(metrics.values()) if annotated else [],
        masks=bool(config.data.get("load_masks")) and annotated,
        annotated=annotated,
    )
