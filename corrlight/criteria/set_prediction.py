"""L_OD of detectors that predict a set: Sparse R-CNN and DETR."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from torch import Tensor

from corrlight.arguments import check_choice, check_number
from corrlight.boxes import xyxy_to_cxcywh
from corrlight.criteria.base import Criterion
from corrlight.criteria.sample import ClassificationLoss, DenseSample
from corrlight.losses import giou_loss, l1_loss
from corrlight.structures import Activation, Match, PredictionField, Predictions, Targets

__all__ = ["SetPredictionCriterion"]


class SetPredictionCriterion(Criterion):
    """Classification of all hypotheses, L1 and GIoU of the matched ones.

    Everything is divided by the number of positives, averaged over the ranks and at least 1, unless
    the classification loss has a normaliser of its own (cross-entropy: the sum of its weights).

    Deviation: without any ground truth the published focal loss of Sparse R-CNN is divided by 0 and
    infinite; here it is the loss of the negatives.

    Args:
        classification: The classification loss.
        cls_weight: Weight of the classification loss.
        box_weight: Weight of the L1 loss of boxes as fractions of the image.
        giou_weight: Weight of the GIoU loss.
        box_format: Coordinates of the L1 loss: "xyxy" (Sparse R-CNN) or "cxcywh" (DETR).
        normalizer: Whether the classification loss's own normaliser is the rank's ("local", as
            published for DETR) or averaged over the ranks ("global").

    Raises:
        ValueError: An argument is out of range, or the classification loss weighs the box loss of
            dense detectors, which there is none of here.
    """

    def __init__(
        self,
        classification: ClassificationLoss,
        cls_weight: float = 2.0,
        box_weight: float = 5.0,
        giou_weight: float = 2.0,
        box_format: Literal["xyxy", "cxcywh"] = "xyxy",
        normalizer: Literal["local", "global"] = "local",
    ) -> None:
        super().__init__()
        kind = type(classification)
        balances_boxes = kind.box_term is not ClassificationLoss.box_term
        if kind.box_weighting is not None or balances_boxes:
            raise ValueError(
                "Expected `classification` to leave the box loss alone, "
                f"but got {kind.__name__}, which is for dense detectors."
            )
        check_number("cls_weight", cls_weight)
        check_number("box_weight", box_weight)
        check_number("giou_weight", giou_weight)
        check_choice("box_format", box_format, ("xyxy", "cxcywh"))
        check_choice("normalizer", normalizer, ("local", "global"))
        self.classification, self.normalizer = classification, normalizer
        self.cls_weight, self.box_weight, self.giou_weight = cls_weight, box_weight, giou_weight
        self.box_format = box_format

    @property
    def activation(self) -> Activation | None:
        """What the classification loss asks for."""
        return self.classification.activation

    @property
    def needs(self) -> Collection[PredictionField]:
        """What the classification loss needs."""
        return self.classification.needs

    def normalizers(
        self, predictions: Predictions, targets: Sequence[Targets], match: Match
    ) -> dict[str, Tensor]:
        """Return the number of positives and, if global, the classification's own normaliser."""
        values = {"positives": match.num_positives.sum().float()}
        if self.normalizer == "global":
            own = self.classification.own_normalizer(
                DenseSample.collect(predictions, targets, match)
            )
            if own is not None:
                values["classification"] = own
        return values

    def forward(
        self,
        predictions: Predictions,
        targets: Sequence[Targets],
        match: Match,
        normalizers: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return the classification terms, ``loss_box`` and ``loss_giou``."""
        sample = DenseSample.collect(predictions, targets, match)
        positives = sample.positives
        num_positives = normalizers["positives"].clamp(min=1)
        gious = giou_loss(positives.pred_boxes, positives.gt_boxes, reduction="none")
        sizes = gious.new_tensor([[w, h, w, h] for h, w in (t.valid_size for t in targets)])
        boxes = positives.pred_boxes / sizes[positives.image_idx]
        gt_boxes = positives.gt_boxes / sizes[positives.image_idx]
        if self.box_format == "cxcywh":
            boxes, gt_boxes = xyxy_to_cxcywh(boxes), xyxy_to_cxcywh(gt_boxes)
        own = self.classification.own_normalizer(sample)
        divisor = num_positives
        if own is not None:
            divisor = normalizers.get("classification", own).clamp(min=1)
        terms = self.classification(sample, divisor, gious.detach())
        return {name: self.cls_weight * term for name, term in terms.items()} | {
            "loss_box": self.box_weight * l1_loss(boxes, gt_boxes, normalizer=num_positives),
            "loss_giou": self.giou_weight * gious.sum() / num_positives,
        }

    def after_step(self, terms: Mapping[str, Tensor]) -> None:
        """Pass the terms on to the classification loss."""
        self.classification.after_step(terms)
