"""One LightningModule for every detector."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from corrlight.assigners.base import Assigner, HasEpochs
from corrlight.assigners.crowds import ignore_crowds
from corrlight.class_order import class_order
from corrlight.criteria.base import Criterion
from corrlight.detectors.base import Detector, LooksAtDrawn
from corrlight.distributed import gather_positives, mean_over_ranks
from corrlight.losses.base import CountingLossCallback, LossCallback
from corrlight.metrics.records import image_records
from corrlight.needs import check_needs
from corrlight.ops.adam import fuse_next_step
from corrlight.optim import OptimizerFactory, SchedulerFactory, parameter_groups
from corrlight.postprocess.base import Postprocessor
from corrlight.structures import (
    Batch,
    Detections,
    Match,
    Positives,
    Predictions,
    StepOutput,
    Targets,
)

if TYPE_CHECKING:
    from corrlight.metrics.evaluator import DetectionEvaluator, EvaluationResult

__all__ = ["DetectionModule"]


class DetectionModule(pl.LightningModule):
    """Detector, assigner, criterion, loss callbacks and postprocessor in one flow.

    Args:
        detector: Images to predictions.
        assigner: Predictions and ground truth to positives.
        criterion: L_OD of one stage.
        postprocessor: Predictions of the last stage to detections.
        loss_callbacks: Auxiliary losses by name; each is added as ``weight * callback(positives)``.
        optimizer: Called with the parameter groups.
        lr: Learning rate, already scaled to the batch size.
        lr_multipliers: Factor of ``lr`` by the name of a module or parameter.
        scheduler: Called with the optimizer and ``steps_per_epoch``; None keeps the rate constant.
        evaluator: Collects the records of validation and test; None skips the measures.
        category_ids: The data set's category id of each label, stored in the checkpoint.
        class_names: Name of each label, stored in the checkpoint.

    Raises:
        ValueError: A part needs what the detector does not give (:mod:`corrlight.needs`).
    """

    def __init__(
        self,
        detector: Detector,
        assigner: Assigner,
        criterion: Criterion,
        postprocessor: Postprocessor,
        loss_callbacks: Mapping[str, LossCallback] | None = None,
        optimizer: OptimizerFactory = torch.optim.SGD,
        lr: float = 0.01,
        lr_multipliers: Mapping[str, float] | None = None,
        scheduler: SchedulerFactory | None = None,
        evaluator: DetectionEvaluator | None = None,
        category_ids: Sequence[int] = (),
        class_names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        check_needs(detector, assigner=assigner, criterion=criterion, postprocessor=postprocessor)
        self.detector = detector
        self.assigner = assigner
        self.criterion = criterion
        self.postprocessor = postprocessor
        self.loss_callbacks = dict(loss_callbacks or {})
        for name, callback in self.loss_callbacks.items():
            _check_callback(name, callback)
        self._callback_modules = nn.ModuleDict(
            {k: v for k, v in self.loss_callbacks.items() if isinstance(v, nn.Module)}
        )
        self.optimizer_factory = optimizer
        self.lr = lr
        self.lr_multipliers = dict(lr_multipliers or {})
        self.scheduler_factory = scheduler
        self.evaluator = evaluator
        self.evaluation: EvaluationResult | None = None
        self.positives_in_epoch = 0  # of this rank
        self._training_steps: int | None = None
        self.category_ids = list(category_ids)
        self.class_names = list(class_names)
        # Called on all ranks when the loss of one is not finite; a callback may take its place.
        self.on_non_finite: Callable[[Batch, StepOutput], None] = _raise_non_finite

    def forward(self, batch: Batch) -> list[Detections]:
        """Return the detections of every image, in input pixels."""
        return self.postprocessor(self.detector(batch)[-1], batch.valid_sizes)

    def step(
        self, batch: Batch, *, reduce: bool = False, detect: bool = False, progress: float = 1.0
    ) -> StepOutput:
        """Run the flow on one batch.

        Args:
            batch: Images and ground truth.
            reduce: Training: average the criterion's normalisers over the ranks, and gather the
                positives of all ranks for loss callbacks with ``sync`` (collectives).
            detect: Also post-process the last stage.
            progress: Share of the training that is over, on which weights of loss callbacks may
                depend.
        """
        if isinstance(self.detector, LooksAtDrawn):
            self.detector.draw = getattr(self.assigner, "draw", None)
        stages = self.detector(batch)
        wanted = [stage.wanted(batch.targets) for stage in stages]
        matches = [
            ignore_crowds(stage, targets, stage.drawn or self.assigner(stage, targets))
            for stage, targets in zip(stages, wanted, strict=True)
        ]
        positives = [
            Positives.gather(stage, batch.targets, match)
            for stage, match in zip(stages, matches, strict=True)
        ]
        # Losses see what was drawn for them, measures everything that is positive.
        drawn = [match.drawn() for match in matches]
        seen = [
            own if match is whole else Positives.gather(stage, batch.targets, match)
            for stage, whole, match, own in zip(stages, matches, drawn, positives, strict=True)
        ]
        terms, counts = self._terms(wanted, stages, drawn, seen, reduce=reduce, progress=progress)
        return StepOutput(
            loss=torch.stack(list(terms.values())).sum(),
            terms=terms,
            counts=counts,
            predictions=stages,
            positives=positives,
            detections=self.postprocessor(stages[-1], batch.valid_sizes) if detect else [],
        )

    def _terms(
        self,
        wanted: list[tuple[Targets, ...]],
        stages: list[Predictions],
        matches: list[Match],
        positives: list[Positives],
        *,
        reduce: bool,
        progress: float,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        normalizers = [
            self.criterion.normalizers(stage, targets, match)
            for stage, targets, match in zip(stages, wanted, matches, strict=True)
        ]
        joined = positives
        if reduce:
            normalizers = mean_over_ranks(normalizers)
            if any(_syncs(callback) for callback in self.loss_callbacks.values()):
                joined = gather_positives(positives, len(wanted[0]))
        terms: dict[str, Tensor] = {}
        counts: dict[str, Tensor] = {}
        for i, (stage, match) in enumerate(zip(stages, matches, strict=True)):
            prefix = f"stage{i}/" if len(stages) > 1 else ""
            own = self.criterion(stage, wanted[i], match, normalizers[i])
            terms.update({prefix + name: value for name, value in own.items()})
            for name, callback in self.loss_callbacks.items():
                if stage.proposes:
                    continue
                seen = joined if _syncs(callback) else positives
                value, counted = _evaluate(callback, seen[i])
                _check_scalar(name, value)
                # lambda is multiplied here and nowhere else.
                terms[f"{prefix}loss_{name}"] = _weight(callback, progress) * value
                for key, count in counted.items():
                    key = f"{name}_{key}"
                    counts[key] = counts[key] + count if key in counts else count
        return terms, counts

    def start_epoch(self, epoch: int) -> None:
        """Tell assigner and criterion which epoch it is, if they ask (``start_epoch``).

        Never called, they are what they are at the end of a training.
        """
        for part in (self.assigner, self.criterion):
            if isinstance(part, HasEpochs):
                part.start_epoch(epoch)

    def on_train_epoch_start(self) -> None:
        """Count the epoch's positives anew."""
        self.positives_in_epoch = 0
        self.start_epoch(self.current_epoch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the total loss."""
        steps = self._training_steps
        progress = 1.0 if steps is None else min(1.0, self.global_step / steps)
        output = self.step(batch, reduce=True, progress=progress)
        # A term that is not finite on one rank is so in the mean of all: they decide alike.
        terms = mean_over_ranks([output.terms])[0]
        if torch.isfinite(torch.stack(list(terms.values())).sum()):
            self.criterion.after_step(terms)
        else:
            self.on_non_finite(batch, output)
        self.positives_in_epoch += sum(map(len, output.positives))
        self._log_step("train", batch, output)
        return output.loss

    # Lightning's annotation knows losses alone; the loops pass on whatever a step returns.
    def validation_step(self, batch: Batch, batch_idx: int) -> StepOutput:  # type: ignore[override]
        """Evaluate one batch; the output goes to callbacks."""
        return self._evaluation_step("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> StepOutput:  # type: ignore[override]
        """Evaluate one batch; the output goes to callbacks."""
        return self._evaluation_step("test", batch)

    def _evaluation_step(self, split: str, batch: Batch) -> StepOutput:
        output = self.step(batch, detect=True)
        self._log_step(split, batch, output)
        if self.evaluator is not None:
            self.evaluator.update(image_records(batch, output, self.postprocessor))
        return output

    def _log_step(self, split: str, batch: Batch, output: StepOutput) -> None:
        train = split == "train"
        losses = {f"{split}/{name}": value.detach() for name, value in output.terms.items()}
        losses[f"{split}/loss"] = output.loss.detach()
        # The final gather of the evaluator is the only collective of validation and test.
        self.log_dict(losses, on_step=train, on_epoch=True, batch_size=len(batch), sync_dist=train)
        if train and output.counts:
            counts = {f"train/{name}": count.float() for name, count in output.counts.items()}
            self.log_dict(
                counts, on_step=False, on_epoch=True, reduce_fx="sum", batch_size=len(batch)
            )

    def on_validation_epoch_start(self) -> None:
        """Forget the records of the last epoch."""
        if self.evaluator is not None:
            self.evaluator.reset()

    def on_test_epoch_start(self) -> None:
        """Forget the records of the last epoch."""
        self.on_validation_epoch_start()

    def on_validation_epoch_end(self) -> None:
        """Compute the measures and log them."""
        self._evaluate_epoch("val")

    def on_test_epoch_end(self) -> None:
        """Compute the measures and log them."""
        self._evaluate_epoch("test")

    def _evaluate_epoch(self, split: str) -> None:
        if self.evaluator is None:
            return
        self.evaluation = self.evaluator.compute()
        # Undefined measures are NaN for the loggers and null in metrics.json, never 0.
        values = {
            f"{split}/{name}": float("nan") if value is None else float(value)
            for name, value in self.evaluation.metrics.items()
        }
        self.log_dict(values, batch_size=1, rank_zero_only=False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimizer and its per-iteration schedule.

        Raises:
            ValueError: The training has no end: rates and weights of losses follow its length.
        """
        epochs = self.trainer.max_epochs or 1
        total = self.trainer.estimated_stepping_batches
        if math.isinf(total):
            raise ValueError(
                f"Expected a training with an end, but got max_epochs={self.trainer.max_epochs} "
                f"and max_steps={self.trainer.max_steps}."
            )
        self._training_steps = int(total)
        steps = max(1, self._training_steps // epochs)
        optimizer, scheduler = self.build_optimizer(steps)
        if scheduler is None:
            return {"optimizer": optimizer}
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def build_optimizer(self, steps_per_epoch: int) -> tuple[Optimizer, LambdaLR | None]:
        """Return a new optimizer and its schedule.

        Raises:
            ValueError: Options of either that are out of range.
        """
        optimizer = self.optimizer_factory(parameter_groups(self, self.lr, self.lr_multipliers))
        if self.scheduler_factory is None:
            return optimizer, None
        return optimizer, self.scheduler_factory(optimizer, steps_per_epoch=steps_per_epoch)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as Lightning does, and let a large network be updated in one pass.

        The last that Lightning calls before the step: nothing replaces gradients afterwards.
        """
        super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        fuse_next_step(optimizer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the class map beside the weights, as plain containers."""
        checkpoint["category_ids"] = list(self.category_ids)
        checkpoint["class_names"] = list(self.class_names)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to go on with a training of other classes, or of classes in another order.

        Raises:
            ValueError: The checkpoint's classes are not the data's.
        """
        if class_order(checkpoint, self.category_ids, self.class_names) is not None:
            raise ValueError(
                "Expected a checkpoint of a training with the data's order of classes, but got "
                "another one (mode=test maps classes by name, a training cannot go on with them)."
            )


def _raise_non_finite(batch: Batch, output: StepOutput) -> None:
    names = [name for name, value in output.terms.items() if not torch.isfinite(value)]
    ids = [target.image_id for target in batch.targets]
    raise FloatingPointError(f"The loss is not finite: terms {names}, images {ids}.")


def _check_callback(name: str, callback: Any) -> None:
    weight = getattr(callback, "weight", None)
    numeric = isinstance(weight, int | float | Tensor) or hasattr(callback, "weight_at")
    if not (callable(callback) and numeric):
        raise ValueError(
            f"Expected `loss_callbacks.{name}` to be callable with positives and to have a number "
            f"`weight`, lambda (corrlight.losses.LossCallback), but got {callback!r}."
        )


def _check_scalar(name: str, value: Any) -> None:
    is_tensor = isinstance(value, Tensor)
    if not is_tensor or value.ndim:
        found = f"shape {tuple(value.shape)}" if is_tensor else repr(value)
        raise ValueError(
            f"Expected `loss_callbacks.{name}` to return a scalar tensor, but got {found}."
        )


def _syncs(callback: LossCallback) -> bool:
    return bool(getattr(callback, "sync", False))


def _weight(callback: LossCallback, progress: float) -> float:
    at = getattr(callback, "weight_at", None)
    return callback.weight if at is None else float(at(progress))


def _are_finite(positives: Positives) -> bool:
    return bool(positives.scores.isfinite().all() & positives.pred_boxes.isfinite().all())


def _evaluate(callback: LossCallback, positives: Positives) -> tuple[Tensor, dict[str, Tensor]]:
    if not (getattr(callback, "passes_on_nan", False) or _are_finite(positives)):
        # The ranks decide together what to do; a callback's error would leave the others waiting.
        return (positives.scores.sum() + positives.pred_boxes.sum()) * float("nan"), {}
    if isinstance(callback, CountingLossCallback):
        output = callback.evaluate(positives)
        return output.value, output.counts
    return callback(positives), {}
