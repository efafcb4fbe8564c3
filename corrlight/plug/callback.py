"""All measures at every evaluation of a Trainer of transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from corrlight.plug.coco import Measures, category_ids_of
from corrlight.plug.correlate import unwrapped
from corrlight.plug.handle import Correlation

__all__ = ["CocoCallback"]


class CocoCallback(TrainerCallback):
    """Adds AP, oLRP, beta_cls, bounds and beta_img to the metrics of every evaluation.

    What the model returns in evaluation mode is post-processed by its processor as it comes, so
    the Trainer need not collect it: ``prediction_loss_only=True`` saves the memory. The measures
    are in what ``Trainer.evaluate`` returns (``eval_AP``, ...), so ``metric_for_best_model`` may
    name one, and in the log history.

    The labels need ``image_id`` and ``orig_size``, which the processors of transformers write.

    Args:
        model: The model that is trained.
        processor: Its image processor.
        annotations: COCO annotation file of the validation images.
        category_ids: Category id of every label, None for one that is no category. Default: found
            by the names in ``model.config.id2label``.
        handle: Of Correlation Loss in the model, for beta_img.
        folder: Where ``results_STEP.json`` is written; None writes nothing.

    Raises:
        ValueError: ``annotations`` or ``category_ids`` do not fit.
    """

    def __init__(
        self,
        model: nn.Module,
        processor: Any,
        annotations: Path | str,
        *,
        category_ids: Sequence[int | None] | None = None,
        handle: Correlation | None = None,
        folder: Path | str | None = None,
    ) -> None:
        model = unwrapped(model)
        names: Any = model.config
        if category_ids is None:
            category_ids = category_ids_of(names.id2label, annotations)
        self.processor = processor
        self.folder = None if folder is None else Path(folder)
        self._measures = Measures(annotations, category_ids, handle)
        self._hook = model.register_forward_hook(self._see, with_kwargs=True)

    def remove(self) -> None:
        """Stop looking at the model."""
        self._hook.remove()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Forget what an evaluation left that was broken off."""
        self._measures.clear()

    def on_predict(self, args: Any, state: Any, control: Any, metrics: Any, **kwargs: Any) -> None:
        """Add the measures of a prediction with labels."""
        if len(self._measures):
            self.on_evaluate(args, state, control, metrics)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Add the measures to ``metrics``.

        Raises:
            ValueError: The evaluation had no labels.
        """
        if not len(self._measures):
            raise ValueError(
                "Expected the model to be evaluated with `labels`, but it saw none in evaluation "
                "mode: `label_names` and `remove_unused_columns` of the TrainingArguments decide."
            )
        results = None
        if self.folder is not None:
            results = self.folder / f"results_{state.global_step}.json"
        found = self._measures.compute(results)
        prefix = _prefix(metrics or {})
        named = {f"{prefix}_{name}": value for name, value in found.items()}
        if metrics is not None:
            metrics.update(named)
        state.log_history.append({**named, "step": state.global_step})

    def _see(self, model: nn.Module, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        labels = kwargs.get("labels")
        if model.training or labels is None:
            return
        for name in ("image_id", "orig_size"):
            if any(name not in label for label in labels):
                raise ValueError(
                    f"Expected labels with `{name}`, as processors of transformers write, "
                    f"but got {', '.join(labels[0])}."
                )
        sizes = torch.stack([label["orig_size"].cpu() for label in labels]).double()
        sizes = sizes * self._padding(labels, kwargs)
        found = self.processor.post_process_object_detection(
            output, threshold=0.0, target_sizes=sizes.to(output.pred_boxes.device, torch.float32)
        )
        for label, detections in zip(labels, found, strict=True):
            self._measures.add(int(label["image_id"]), detections)

    def _padding(self, labels: Sequence[Mapping[str, Tensor]], kwargs: Mapping[str, Any]) -> Tensor:
        """Return the ``(B, 2)`` ratio of the batch's height and width to those of every image.

        Processors that pad write boxes in fractions of the padded batch, but read them as fractions
        of the image.

        Raises:
            ValueError: Images were padded, and nothing says how much.
        """
        height, width = kwargs["pixel_values"].shape[-2:]
        mask = kwargs.get("pixel_mask")
        if mask is not None:
            content = torch.stack([mask.any(2).sum(1), mask.any(1).sum(1)], 1).cpu().double()
            return torch.tensor([height, width]) / content
        if getattr(self.processor, "do_pad", False):
            for label in labels:
                rows, columns = label["orig_size"].tolist()
                # Rounded to whole pixels, or to those of a patch.
                if abs(columns * height / rows - width) > _SLACK * max(height, width):
                    raise ValueError(
                        f"Expected images without padding or a `pixel_mask`, but image "
                        f"{int(label['image_id'])} of {rows} x {columns} is in a batch of "
                        f"{height} x {width}: evaluate with a batch size of 1."
                    )
        return torch.ones(len(labels), 2, dtype=torch.float64)


_SLACK = 0.05


def _prefix(metrics: Mapping[str, Any]) -> str:
    """Return the prefix of an evaluation's metrics, which callbacks are not told."""
    for name in metrics:
        for end in ("_loss", "_runtime"):
            if name.endswith(end):
                return name.removesuffix(end)
    return "eval"
