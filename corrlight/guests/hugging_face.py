"""Detectors of transformers in our training: logits and boxes of every decoder layer as stages."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor

from corrlight.arguments import check_at_least, check_choice
from corrlight.boxes import cxcywh_to_xyxy, xyxy_to_cxcywh
from corrlight.detectors.base import Detector
from corrlight.guests.hugging_face_model import check_normalization, make_model
from corrlight.guests.own import OwnPredictions
from corrlight.modes.full_precision import full_precision
from corrlight.plug.matcher_calls import MatcherCall, matching, num_denoising
from corrlight.structures import BACKGROUND, Activation, Batch, Match, Predictions, Targets

__all__ = ["HuggingFaceDetector"]

# Edge of the picture that a new detector is tried with.
_PROBE = 128
# Arguments of a loss, in their order.
_ARGUMENTS = (
    "logits",
    "labels",
    "device",
    "pred_boxes",
    "config",
    "outputs_class",
    "outputs_coord",
    "enc_outputs_class",
    "enc_outputs_coord",
)
# Those of the encoder's proposals: logits and boxes.
_PROPOSALS = (
    ("enc_topk_logits", "enc_topk_bboxes"),
    ("enc_outputs_class", "enc_outputs_coord"),
)


class HuggingFaceDetector(Detector):
    """Any detector of transformers that is trained with labels and returns logits and boxes.

    The model hands everything to its ``loss_function``: the outputs of every decoder layer are the
    stages, those of the encoder's proposals, if there are any, the first of them. With
    ``criterion="own"`` the loss that the model was made for is computed there and kept, with its
    own matching, denoising queries and groups; then every layer that it matches is a stage.

    Boxes are fractions of the batch's padded pictures, as the processors of transformers write
    them, so fine-tuned weights fit.

    Args:
        num_classes: Foreground classes C.
        model: ``model_type`` of a configuration of transformers, such as ``rt_detr_v2``: random
            weights.
        checkpoint: A folder that ``save_pretrained`` wrote, instead. Heads for another number of
            classes start new.
        overrides: Options of the model's configuration.
        criterion: "default" for a criterion of ours, "own" for the model's loss.
        mean: What the data are normalised with, to compare with the checkpoint's processor, or
            None.
        std: Likewise.

    Raises:
        ValueError: transformers is missing, there is no such model, folder or option, the model
            needs more than images or gives other outputs, or the data's normalisation is not the
            checkpoint's.
    """

    def __init__(
        self,
        num_classes: int,
        model: str | None = None,
        checkpoint: Path | str | None = None,
        overrides: Mapping[str, Any] | None = None,
        criterion: Literal["default", "own"] = "default",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        check_at_least(1, num_classes=num_classes)
        check_choice("criterion", criterion, ("default", "own"))
        self.num_classes = num_classes
        own = criterion == "own"
        self.model: Any = make_model(
            num_classes, model, checkpoint, overrides or {}, one_to_one=not own
        )
        for name, parameter in self.model.named_parameters():
            # DINOv2 hides patches with it in a training of another kind: no loss here reaches it.
            if name.endswith("mask_token"):
                parameter.requires_grad_(False)
        if checkpoint is not None and mean is not None and std is not None:
            check_normalization(checkpoint, mean, std)
        self._loss: Any = _Loss(getattr(self.model, "loss_function", None) if own else None)
        self.model.loss_function = self._loss
        self._takes_mask = "pixel_mask" in inspect.signature(self.model.forward).parameters
        self._activation: Activation = "sigmoid"
        self._activation = self._probe()

    @property
    def activation(self) -> Activation:
        """Softmax if the logits have a column for the background, sigmoid otherwise."""
        return self._activation

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a decoder that drops its layers at inference keeps them."""
        super().train(mode)
        for module in self.model.modules():
            # D-FINE and DEIMv2: only the layer `eval_idx` would be a stage. Nothing else in there
            # looks at the mode: the layers are modules of their own.
            if type(module).__name__.endswith("Decoder") and hasattr(module, "eval_idx"):
                module.training = True
        return self

    def forward(self, batch: Batch) -> list[Predictions]:
        """Return the predictions of the encoder's proposals and of every decoder layer."""
        outputs = self._outputs(batch)
        height, width = batch.images.shape[-2:]
        own = outputs.own
        stages: list[Predictions] = []
        for k, (logits, boxes) in enumerate(outputs.layers):
            scale = boxes.new_tensor([width, height, width, height], dtype=torch.float32)
            device = logits.device
            parts: dict[str, Any] = {
                "logits": logits,
                "boxes": cxcywh_to_xyxy(boxes.float()) * scale,
                "level_idx": torch.zeros(logits.shape[1], dtype=torch.long, device=device),
                "activation": self.activation,
                "valid": torch.ones(logits.shape[:2], dtype=torch.bool, device=device),
            }
            if own is None:
                stages.append(Predictions(**parts))
            else:
                last = k == len(outputs.layers) - 1
                stages.append(
                    OwnPredictions(
                        **parts,
                        match=own.matches[k],
                        losses=self._whole(own.losses) if last else {},
                    )
                )
        return stages

    def _outputs(self, batch: Batch) -> _Outputs:
        images = batch.images
        more = {}
        if self._takes_mask:
            mask = torch.zeros(len(batch), *images.shape[-2:], dtype=torch.long)
            for own, (rows, columns) in zip(mask, batch.valid_sizes, strict=True):
                own[:rows, :columns] = 1
            more["pixel_mask"] = mask.to(images.device)
        labels = [_label(target, images.shape[-2:]) for target in batch.targets]
        self.model(pixel_values=images, labels=labels, **more)
        return self._loss.taken(self.training)

    def _whole(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses, attached to what only denoising queries use.

        Without objects there are none of these, but every parameter has to get a gradient.
        """
        name = next(iter(losses))
        unused = [p.sum() for n, p in self.named_parameters() if "denoising" in n]
        return {**losses, name: losses[name] + 0 * torch.stack(unused).sum()} if unused else losses

    @torch.no_grad()
    def _probe(self) -> Activation:
        """Return how logits become scores, found with one made-up picture."""
        kind, config = type(self.model).__name__, self.model.config
        if any(parameter.is_meta for parameter in self.model.parameters()):
            # Shapes alone are wanted. The loss of DETR is the one with a background.
            softmax = getattr(self.model, "loss_type", None) == "ForObjectDetection"
            return "softmax" if softmax else "sigmoid"
        size = (_PROBE, _PROBE)
        target = Targets(
            boxes=torch.tensor([[16.0, 16, 80, 96]]),
            labels=torch.zeros(1, dtype=torch.long),
            valid_size=size,
            padded_size=size,
            original_size=size,
            image_id=0,
        )
        training = self.training
        self.eval()
        try:
            batch = Batch(images=torch.zeros(1, 3, *size), targets=(target,))
            logits, boxes = self._outputs(batch).layers[-1]
        except (TypeError, ValueError, RuntimeError, KeyError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"Expected {kind} of transformers to give logits and boxes of a picture, but it "
                f"failed: {reason}"
            ) from error
        finally:
            self.train(training)
        columns = logits.shape[-1]
        if boxes.shape != (*logits.shape[:2], 4) or columns - self.num_classes not in (0, 1):
            raise ValueError(
                f"Expected {kind} of transformers ({config.model_type}) to give logits of "
                f"{self.num_classes} classes, with or without one for the background, and a box "
                f"for each, but got {tuple(logits.shape)} and {tuple(boxes.shape)}."
            )
        return "softmax" if columns > self.num_classes else "sigmoid"


def _label(target: Targets, size: Sequence[int]) -> dict[str, Tensor]:
    height, width = size
    scale = target.boxes.new_tensor([width, height, width, height])
    return {"class_labels": target.labels, "boxes": xyxy_to_cxcywh(target.boxes) / scale}


@dataclass(frozen=True, slots=True)
class _Own:
    losses: dict[str, Tensor]
    matches: list[Match]


@dataclass(frozen=True, slots=True)
class _Outputs:
    """Logits and boxes layer by layer, the last one last, and what the own loss made of them."""

    layers: list[tuple[Tensor, Tensor]]
    own: _Own | None


class _Loss:
    """Stands where a model has its loss, and keeps what that is given.

    Args:
        original: The model's loss to be computed, or None.
    """

    def __init__(self, original: Callable[..., Any] | None) -> None:
        self.original = original
        self._given: dict[str, Any] = {}
        self._found: tuple[Tensor, dict[str, Tensor], list[MatcherCall]] | None = None
        self._weights: str | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Tensor], Any]:
        """Return loss, terms and auxiliary outputs, as the model expects them."""
        if self.original is None:
            self._given = {**dict(zip(_ARGUMENTS, args, strict=False)), **kwargs}
            return None, {}, None
        # scipy knows no bfloat16, and a matching in it would be another one.
        args = tuple(map(_full, args))
        kwargs = {name: _full(value) for name, value in kwargs.items()}
        self._given = {**dict(zip(_ARGUMENTS, args, strict=False)), **kwargs}
        calls: list[MatcherCall] = []
        with matching(calls), full_precision(self._given["logits"]):
            loss, terms, auxiliary = self.original(*args, **kwargs)
        self._found = (loss, terms, calls)
        return loss, terms, auxiliary

    def taken(self, training: bool) -> _Outputs:
        """Return what the last forward pass brought, and let go of it.

        Raises:
            ValueError: The model did not call its loss.
        """
        given, found = self._given, self._found
        self._given, self._found = {}, None
        if not {"logits", "pred_boxes"} <= set(given):
            raise ValueError("it does not hand logits and boxes to its `loss_function`")
        if found is None:
            return _Outputs(_all_layers(given), None)
        loss, terms, calls = found
        proposals = [given.get(name) for name, _ in _PROPOSALS]
        calls = [c for c in calls if not any(c.outputs["logits"] is p for p in proposals)]
        if not calls:
            raise ValueError("its loss matches no queries: criterion=default has one that does")
        split = num_denoising(given)
        # The last layer comes first.
        ordered = [call.ordinary(split, training) for call in (*calls[1:], calls[0])]
        layers = [(call.outputs["logits"], call.outputs["pred_boxes"]) for call in ordered]
        matches = [_match(call) for call in ordered]
        return _Outputs(layers, _Own(self._named(loss, terms, given["config"]), matches))

    def _named(self, loss: Tensor, terms: Mapping[str, Tensor], config: Any) -> dict[str, Tensor]:
        """Return the weighted terms; one alone where their weights are not known."""
        losses = {name: value for name, value in terms.items() if name.startswith("loss")}
        ways: dict[str, dict[str, Tensor]] = {
            "as given": losses,
            "by config": {n: _weight(n, config) * v for n, v in losses.items()},
        }
        if self._weights is None and loss.isfinite():
            fit = [way for way, own in ways.items() if own and _sum_is(own, loss)]
            self._weights = (*fit, "unknown")[0]
        return ways.get(self._weights or "unknown", {"loss_own": loss})


def _all_layers(given: Mapping[str, Any]) -> list[tuple[Tensor, Tensor]]:
    """Return logits and boxes of the encoder's proposals and of every decoder layer."""
    logits, boxes = given["logits"], given["pred_boxes"]
    layers = [
        (given[names[0]], given[names[1]])
        for names in _PROPOSALS
        if given.get(names[0]) is not None and given.get(names[1]) is not None
    ]
    classes, coordinates = given.get("outputs_class"), given.get("outputs_coord")
    if classes is not None and coordinates is not None:
        # RT-DETR and its kin have the images first, and the logits are a view of the last layer.
        if logits.is_set_to(classes[:, -1]) and not logits.is_set_to(classes[-1]):
            classes, coordinates = classes.transpose(0, 1), coordinates.transpose(0, 1)
        layers += list(zip(classes[:-1], coordinates[:-1], strict=True))
    return [*layers, (logits, boxes)]


def _match(call: MatcherCall) -> Match:
    logits = call.outputs["logits"]
    gt_idx = torch.full(logits.shape[:2], BACKGROUND, dtype=torch.long)
    for own, (queries, objects) in zip(gt_idx, call.indices, strict=True):
        own[queries.cpu()] = objects.cpu()
    return Match(gt_idx=gt_idx.to(logits.device))


def _weight(name: str, config: Any) -> float:
    """Return the factor that losses of the DETR kind give a term, by its name."""
    for kind, option, otherwise in (
        ("loss_ce", "cls_loss_coefficient", 1.0),
        ("loss_bbox", "bbox_loss_coefficient", 0.0),
        ("loss_giou", "giou_loss_coefficient", 0.0),
    ):
        if name.startswith(kind):
            return float(getattr(config, option, otherwise))
    return 0.0


def _sum_is(losses: Mapping[str, Tensor], total: Tensor) -> bool:
    found = torch.stack([value.detach() for value in losses.values()]).sum()
    return torch.allclose(found, total.detach(), rtol=1e-4)


def _full(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.to(torch.promote_types(value.dtype, torch.float32))
    return value
