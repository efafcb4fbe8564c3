"""RF-DETR as rfdetr trains it.

Its criterion returns unweighted terms, and a dictionary beside it holds their weights. The matched
queries of every layer go through ``_get_matched_targets``: a hook on the matcher would see them as
well, but rfdetr then matches the layers one by one, which is slower.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from corrlight.plug.handle import Correlation, second
from corrlight.plug.options import Options
from corrlight.plug.override import Override
from corrlight.plug.positives import Indices, check_labels, image_ids, query_positives
from corrlight.structures import Positives

__all__ = ["attach", "find"]

Targets = Sequence[Mapping[str, Any]]

_TERM = "loss_correlation"


def attach(model: Any, handle: Correlation, options: Options) -> CriterionSeam:
    """Put the loss into a criterion; see :func:`corrlight.plug.correlate`."""
    criterion = getattr(model, "criterion", model)
    if not isinstance(criterion, nn.Module) or not hasattr(criterion, "weight_dict"):
        raise ValueError(
            "Expected `model` to be an RFDETRModelModule or a SetCriterion of rfdetr, but got a "
            f"{type(model).__name__}: train with RFDETRModelModule(model_config, train_config) and "
            "build_trainer of rfdetr.training, as docs/plug_in.md shows."
        )
    return CriterionSeam(criterion, handle, options)


def find(model: Any) -> Correlation | None:
    """Return the handle of the loss in a criterion, None without one."""
    method = vars(getattr(model, "criterion", model)).get("_get_matched_targets")
    seam = getattr(method, "__self__", None)
    return seam.handle if isinstance(seam, CriterionSeam) else None


class CriterionSeam:
    """Correlation Loss among the terms of a criterion.

    Args:
        criterion: It.
        handle: What the user holds.
        options: ``layers``, and ``group_queries`` if there are groups.
    """

    def __init__(self, criterion: Any, handle: Correlation, options: Options) -> None:
        name = type(criterion).__name__
        self.criterion, self.handle, self.options = criterion, handle, options
        options.check(name, layers=True, group_queries=getattr(criterion, "group_detr", 1) > 1)
        if _TERM in criterion.weight_dict:
            raise second()
        if getattr(criterion, "num_keypoints_per_class", None):
            raise ValueError(
                "Expected a detection or segmentation model of rfdetr, but got one of keypoints, "
                "whose trainer divides every term by the number of boxes."
            )
        method = getattr(criterion, "_get_matched_targets", None)
        found = list(inspect.signature(method).parameters) if callable(method) else []
        terms = set(getattr(criterion, "losses", ()))
        if found != ["targets", "indices"] or not {"labels", "boxes"} <= terms:
            raise ValueError(
                f"Expected {name} to collect the matched targets of every layer, but in "
                f"{handle.library} it does not: rfdetr 1.11.2 is the version that is known."
            )
        self._indices: list[Indices] = []
        self._override = Override(criterion, "_get_matched_targets", self._matched)
        self._hooks = [
            criterion.register_forward_pre_hook(self._check, with_kwargs=True),
            criterion.register_forward_hook(self._add, with_kwargs=True),
        ]
        criterion.weight_dict[_TERM] = handle.weight

    def set_weight(self, weight: float) -> None:
        """Take a new factor of the loss."""
        self.criterion.weight_dict[_TERM] = weight

    def remove(self) -> None:
        """Leave the criterion as it was."""
        self._override.remove()
        for hook in self._hooks:
            hook.remove()
        del self.criterion.weight_dict[_TERM]

    def _matched(self, targets: Targets, indices: Indices) -> Any:
        self._indices.append(indices)
        return self._override.original(targets, indices)

    def _check(self, criterion: nn.Module, args: tuple[Any, ...], kwargs: Any) -> None:
        self._indices = []
        given = self._given(args, kwargs)
        columns = given["outputs"]["pred_logits"].shape[-1]
        # A negative label would be one of the last classes, without a word.
        check_labels(given["targets"], "labels", 0, columns, "the classification head has it")

    def _given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return inspect.signature(self.criterion.forward).bind(*args, **kwargs).arguments

    def _add(
        self, criterion: nn.Module, args: tuple[Any, ...], kwargs: Any, terms: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the terms of a batch with ours."""
        given = self._given(args, kwargs)
        outputs, targets = given["outputs"], given["targets"]
        indices, self._indices = self._indices, []
        # The encoder's proposals come last and are no decoder layer.
        layers = [outputs, *outputs.get("aux_outputs", ())]
        if len(indices) != len(layers) + ("enc_outputs" in outputs):
            raise ValueError(
                f"Expected matched targets of {len(layers)} layers, but {self.handle.library} "
                f"collected {len(indices)}: rfdetr 1.11.2 is the version that is known."
            )
        if self.options.layers == "last":
            layers = layers[:1]
        training = self.criterion.training
        num_objects = sum(_num_real(target) for target in targets)
        positives = [
            self._positives(layer, pairs, targets)
            for layer, pairs in zip(layers, indices, strict=False)
        ]
        value = self.handle.step(positives, positives[0], image_ids(targets), num_objects, training)
        return {**terms, _TERM: value}

    def _positives(self, layer: Mapping[str, Any], pairs: Indices, targets: Targets) -> Positives:
        logits = layer["pred_logits"]
        if self.criterion.training and self.options.group_queries == "first":
            first = logits.shape[1] // self.criterion.group_detr
            pairs = [(q[q < first], o[q < first]) for q, o in pairs]
        if targets and "valid" in targets[0]:
            # Targets that only fill up a tensor of fixed size.
            pairs = [_real(target, *pair) for target, pair in zip(targets, pairs, strict=True)]
        return query_positives(logits, layer["pred_boxes"], pairs, targets, "labels", "sigmoid")


def _num_real(target: Mapping[str, Any]) -> int:
    return int(target["valid"].sum()) if "valid" in target else len(target["labels"])


def _real(target: Mapping[str, Any], queries: Tensor, objects: Tensor) -> tuple[Tensor, Tensor]:
    valid = target["valid"][objects.to(target["valid"].device)].to(queries.device)
    return queries[valid], objects[valid]
