"""Detectors of transformers whose loss matches queries with a Hungarian matcher.

A model calls ``self.loss_function``, which may be replaced. What the matcher was given (logits and
boxes of a layer) and what it gave back is all that is needed, whatever the detector: DETR and its
kin, with or without groups or denoising queries.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.loss.loss_utils import LOSS_MAPPING

from corrlight.plug.handle import Correlation, second
from corrlight.plug.matcher_calls import (
    MATCHER,
    EnoughError,
    MatcherCall,
    matching,
    num_denoising,
)
from corrlight.plug.options import Options
from corrlight.plug.positives import (
    check_labels,
    image_ids,
    joined,
    query_positives,
    scores_of,
)
from corrlight.structures import Activation, Positives

__all__ = ["attach", "find"]

# Detectors of text: their columns are words.
_OPEN_VOCABULARY = ("GroundingDino", "OmDet", "OwlVit", "Owlv2")


def attach(model: nn.Module, handle: Correlation, options: Options) -> LossSeam:
    """Put the loss into a detector; see :func:`corrlight.plug.correlate`."""
    name = type(model).__name__
    base = _base(model)
    if not isinstance(model, PreTrainedModel) or not base.endswith("ForObjectDetection"):
        raise ValueError(
            "Expected `model` to be a detector of transformers (a class that ends with "
            f"ForObjectDetection), but got a {name}."
        )
    if any(word in base for word in _OPEN_VOCABULARY):
        raise ValueError(
            f"Expected `model` to have classes, but {name} scores words of a prompt: "
            "corrlight.losses.correlation_loss takes plain tensors."
        )
    return LossSeam(model, handle, options)


def find(model: nn.Module) -> Correlation | None:
    """Return the handle of the loss in a detector, None without one."""
    seam = vars(model).get("_loss_function")
    return seam.handle if isinstance(seam, LossSeam) else None


def _base(model: nn.Module) -> str:
    """Return the name of the nearest class that is one of transformers itself."""
    for cls in type(model).__mro__:
        if cls.__module__.startswith("transformers.models."):
            return cls.__name__
    return ""


class LossSeam:
    """Correlation Loss in the ``loss_function`` of a model.

    Args:
        model: The detector.
        handle: What the user holds.
        options: ``layers`` for all, ``denoising`` and ``group_queries`` for those that have them.
    """

    def __init__(self, model: PreTrainedModel, handle: Correlation, options: Options) -> None:
        config = model.config
        options.check(
            type(model).__name__,
            layers=True,
            denoising=getattr(config, "num_denoising", 0) > 0,
            group_queries=getattr(config, "group_detr", 1) > 1,
        )
        if find(model) is not None:
            raise second()
        self.model, self.handle, self.options = model, handle, options
        self._earlier = vars(model).get("_loss_function")
        _check_name(model, handle.library)
        _check_forward(model, handle.library)
        self.function: Callable[..., Any] = model.loss_function
        self._probe()
        self._quality = _QualityTerms(model, handle)
        model.loss_function = self
        self._hook = model.register_forward_pre_hook(self._check, with_kwargs=True)

    def set_weight(self, weight: float) -> None:
        """Nothing to do: it is read at every step."""

    def remove(self) -> None:
        """Leave the model as it was."""
        if vars(self.model).get("_loss_function") is not self:
            raise ValueError(
                "Expected `model.loss_function` to be as the loss left it, but it was replaced "
                "again: undo that first."
            )
        del self.model._loss_function
        if self._earlier is not None:
            self.model.loss_function = self._earlier
        self._hook.remove()
        self._quality.remove()

    @torch.compiler.disable
    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Tensor, dict[str, Tensor], Any]:
        """Return loss, terms and auxiliary outputs of the model, ``loss_correlation`` in them."""
        given = self._arguments(args, kwargs)
        labels = given["labels"]
        num_objects = sum(len(label["class_labels"]) for label in labels)
        calls: list[MatcherCall] = []
        with matching(calls):
            loss, terms, auxiliary = self.function(*args, **kwargs)
        if not calls:
            raise self._unknown("matched no queries in this batch")
        layers, final = self._layers(calls, given)
        self._quality.clear()
        value = self.handle.step(layers, final, image_ids(labels), num_objects, self.model.training)
        term = self.handle.weight * value
        return loss + term, {**terms, "loss_correlation": term}, auxiliary

    def _check(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Check the labels before the model does: denoising queries are made of them."""
        names = inspect.signature(model.forward).parameters
        labels = {**dict(zip(names, args, strict=False)), **kwargs}.get("labels")
        if labels is not None:
            num_labels = self.model.config.num_labels
            why = "`num_labels` of the config says"
            check_labels(labels, "class_labels", 0, num_labels, why)

    def _arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        given = inspect.signature(self.function).bind(*args, **kwargs).arguments
        return {**given, **given.pop("kwargs", {})}

    def _layers(
        self, calls: Sequence[MatcherCall], given: Mapping[str, Any]
    ) -> tuple[list[Positives], Positives]:
        """Return the positives of all layers, the last one first, and the ordinary ones of that."""
        proposals = [given.get(name) for name in ("enc_topk_logits", "enc_outputs_class")]
        layers = [c for c in calls if not any(c.outputs["logits"] is p for p in proposals)]
        if self.options.layers == "last":
            layers = layers[:1]
        positives = [self._positives(k, call, given) for k, call in enumerate(layers)]
        final = positives[0]
        if self.options.denoising and num_denoising(given) is not None:
            positives = [joined(own, self._denoised(k, given)) for k, own in enumerate(positives)]
        return positives, final

    def _positives(self, layer: int, call: MatcherCall, given: Mapping[str, Any]) -> Positives:
        """Return the positives of the ordinary queries of a layer: 0 is the last, 1 the first."""
        logits = call.outputs["logits"]
        split = num_denoising(given)
        num_noisy = 0 if split is None else split[0]
        call = call.ordinary(split, self.model.training)
        indices = call.indices
        if self.options.group_queries == "first" and call.group_queries > 1:
            first = logits.shape[1] // call.group_queries
            indices = [(q[q < first], o[q < first]) for q, o in indices]
        positives = query_positives(
            call.outputs["logits"],
            call.outputs["pred_boxes"],
            indices,
            call.targets,
            "class_labels",
            self._activation(logits),
        )
        return self._apart(positives, layer, given, num_noisy)

    def _denoised(self, layer: int, given: Mapping[str, Any]) -> Positives:
        """Return the positives among the denoising queries of a layer."""
        meta = given["denoising_meta_values"]
        num_noisy, num_queries = meta["dn_num_split"]
        place = _place(layer, given)
        logits = given["outputs_class"][:, place, :num_noisy]
        boxes = given["outputs_coord"][:, place, :num_noisy]
        indices = []
        for target, queries in zip(given["labels"], meta["dn_positive_idx"], strict=True):
            count = len(target["class_labels"])
            # Every group of them holds the objects once.
            objects = torch.arange(count).repeat(len(queries) // count if count else 0)
            indices.append((queries[: len(objects)], objects))
        positives = query_positives(
            logits, boxes, indices, given["labels"], "class_labels", self._activation(logits)
        )
        positives = self._apart(positives, layer, given, 0)
        # Numbered after the ordinary ones.
        return replace(positives, pred_idx=positives.pred_idx + num_queries)

    def _apart(
        self, positives: Positives, layer: int, given: Mapping[str, Any], num_noisy: int
    ) -> Positives:
        if not self._quality.count or not self.model.training:
            return positives
        stacked = given["outputs_class"].shape[1]
        activation = self._activation(given["outputs_class"])
        place = _place(layer, given)
        return self._quality.apart(positives, place, stacked, num_noisy, activation)

    def _activation(self, logits: Tensor) -> Activation:
        columns, num_labels = logits.shape[-1], self.model.config.num_labels
        if columns not in (num_labels, num_labels + 1):
            raise self._unknown(
                f"gave {columns} columns of logits for {num_labels} classes in `num_labels`"
            )
        return "softmax" if columns == num_labels + 1 else "sigmoid"

    def _probe(self) -> None:
        """Check that the loss matches queries as expected, on one made-up image."""
        config = copy.copy(self.model.config)
        config.auxiliary_loss = False
        num_queries = 2 * getattr(config, "group_detr", 1)
        logits = torch.zeros(1, num_queries, config.num_labels + 1)
        boxes = torch.full((1, num_queries, 4), 0.5)
        target = {"class_labels": torch.zeros(1, dtype=torch.long), "boxes": boxes[0, :1]}
        more = {"enc_outputs_class": logits, "enc_outputs_coord": boxes}
        known = inspect.signature(self.function).parameters
        wanted = {"logits", "labels", "device", "pred_boxes", "config"}
        if not wanted <= set(known):
            raise self._unknown(f"takes {', '.join(known)}")
        calls: list[MatcherCall] = []
        try:
            # The matcher comes first: no rank waits for another one.
            with torch.no_grad(), torch.device("cpu"), matching(calls, stop=True):
                self.function(
                    logits=logits,
                    labels=[target],
                    device="cpu",
                    pred_boxes=boxes,
                    config=config,
                    **{name: value for name, value in more.items() if name in known},
                )
        except EnoughError:
            pass
        except (AttributeError, KeyError, TypeError, RuntimeError) as error:
            raise self._unknown(f"failed on a made-up image ({error})") from error
        if not calls:
            raise self._unknown(f"uses no {MATCHER}")
        call = calls[0]
        pairs = [len(queries) == len(objects) >= 1 for queries, objects in call.indices]
        if pairs != [True] or call.outputs.get("logits") is not logits:
            raise self._unknown("matched a made-up image otherwise than expected")

    def _unknown(self, what: str) -> ValueError:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return ValueError(
            f"Expected the loss of {type(self.model).__name__} to match queries as transformers "
            f"4.50 to 5.23 do, but {name} of {self.handle.library} {what}."
        )


def _check_name(model: PreTrainedModel, library: str) -> None:
    """Check that a subclass trains with the loss of the detector that it is."""
    if "_loss_function" in vars(model):
        return  # Somebody's own, on purpose.
    base = _base(model)
    expected = base if base in LOSS_MAPPING else "ForObjectDetection"
    if LOSS_MAPPING.get(model.loss_type) is not LOSS_MAPPING[expected]:
        raise ValueError(
            f"Expected a {base} to train with {LOSS_MAPPING[expected].__name__}, but {library} "
            f"chooses by the name of the class, {type(model).__name__}, and takes another loss: "
            f"set `model.loss_type = {expected!r}` first."
        )


def _check_forward(model: PreTrainedModel, library: str) -> None:
    """Check that the model asks for ``loss_function``, and that it may be replaced."""
    settable = isinstance(getattr(type(model), "loss_function", None), property)
    asks = any(
        "loss_function" in inspect.unwrap(vars(cls)["forward"]).__code__.co_names
        for cls in type(model).__mro__
        if "forward" in vars(cls) and hasattr(inspect.unwrap(vars(cls)["forward"]), "__code__")
    )
    if not settable or not asks:
        raise ValueError(
            f"Expected {type(model).__name__}.forward to call `self.loss_function`, but in "
            f"{library} it does not: transformers 4.50 is the oldest that works."
        )


def _place(layer: int, given: Mapping[str, Any]) -> int:
    """Return where a layer is in the ``(B, L, N, K)`` outputs: 0 is the last, 1 the first."""
    return given["outputs_class"].shape[1] - 1 if layer == 0 else layer - 1


class _QualityTerms:
    """The part of D-FINE's scores that is computed from its box head.

    D-FINE and DEIMv2 add a term to the logits of a layer that a small network makes of the box
    distribution, which is not detached: through it the loss would reach the box head. With
    ``backprop='classification'`` the logits of the positives are computed again from the
    distribution as a constant, for those rows alone.
    """

    def __init__(self, model: nn.Module, handle: Correlation) -> None:
        self.library = handle.library
        modules = [m for m in model.modules() if type(m).__name__.endswith("LQE")]
        if handle.loss.backprop != "classification":
            modules = []
        self.count = len(modules)
        self._checked = False
        # By layer and device: replicas of nn.DataParallel share this object.
        self._inputs: dict[tuple[int, torch.device], tuple[nn.Module, Tensor, Tensor]] = {}
        self._hooks = [
            module.register_forward_hook(partial(self._keep, k)) for k, module in enumerate(modules)
        ]

    def remove(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()

    def clear(self) -> None:
        """Let go of the graph."""
        self._inputs.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_inputs": {}}

    def _keep(self, layer: int, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if module.training and torch.is_grad_enabled():
            scores, corners = args
            self._inputs[layer, output.device] = (module, scores, corners)

    def apart(
        self, positives: Positives, place: int, stacked: int, num_noisy: int, activation: Activation
    ) -> Positives:
        """Return positives whose scores lead to the classifier alone.

        Args:
            positives: Of a layer.
            place: Of the layer in the stacked outputs.
            stacked: How many there are: the first may have no term, the last has one.
            num_noisy: Queries before the one that ``pred_idx`` calls 0.
            activation: How logits become scores.
        """
        layer = place - (stacked - self.count)
        kept = self._inputs.get((layer, positives.scores.device))
        if kept is None or not len(positives):
            return positives
        module, scores, corners = kept
        rows = positives.image_idx, positives.pred_idx + num_noisy
        # Past the hooks: those are for the whole forward pass.
        logits = module.forward(scores[rows][None], corners[rows][None].detach())[0]
        again = scores_of(logits, positives.labels, activation)
        if not self._checked and not torch.allclose(again, positives.scores, atol=0.05):
            raise ValueError(
                f"Expected the logits of layer {layer} to come from its {type(module).__name__}, "
                f"but in {self.library} they do not: corrlight does not know this version."
            )
        self._checked = True
        return replace(positives, scores=again)
