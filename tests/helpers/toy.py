"""A detector small enough to check by hand, for tests of the module around it."""

from __future__ import annotations

import torch
from torch import nn

from corrlight.criteria.base import Criterion
from corrlight.detectors.base import Detector
from corrlight.structures import (
    BACKGROUND,
    Batch,
    Detections,
    Match,
    Predictions,
    Targets,
)


class ToyDetector(Detector):
    """Four fixed boxes an image with learned logits, in one or more stages."""

    activation = "sigmoid"

    def __init__(self, num_classes: int = 2, num_stages: int = 1) -> None:
        super().__init__()
        self.num_classes = num_classes
        torch.manual_seed(0)
        self.logits = nn.Parameter(torch.randn(num_stages, 4, num_classes))
        boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 6], [8, 8, 16, 16], [4, 4, 12, 12]])
        self.register_buffer("boxes", boxes)

    def forward(self, batch: Batch) -> list[Predictions]:
        size = len(batch)
        return [
            Predictions(
                logits=logits.expand(size, -1, -1),
                boxes=self.boxes.expand(size, -1, -1),
                level_idx=torch.zeros(4, dtype=torch.int64),
                activation="sigmoid",
                valid=torch.ones(size, 4, dtype=torch.bool),
            )
            for logits in self.logits
        ]


class ToyAssigner:
    """The first two hypotheses belong to the first ground truth, where there is one."""

    def __call__(self, predictions: Predictions, targets: tuple[Targets, ...]) -> Match:
        gt_idx = torch.full(predictions.boxes.shape[:2], BACKGROUND)
        for i, target in enumerate(targets):
            if len(target.labels):
                gt_idx[i, :2] = 0
        return Match(gt_idx=gt_idx)


class ToyCriterion(Criterion):
    """The mean squared logit; counts its calls to ``after_step``."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[dict[str, float]] = []

    def normalizers(self, predictions, targets, match):
        return {"positives": match.num_positives.sum().float()}

    def forward(self, predictions, targets, match, normalizers):
        return {"loss_cls": predictions.logits.square().mean() + 0 * normalizers["positives"]}

    def after_step(self, terms):
        self.steps.append({name: float(value) for name, value in terms.items()})


class ToyPostprocessor:
    """Every hypothesis with its best class."""

    def __call__(self, predictions, image_sizes, score_override=None) -> list[Detections]:
        found = []
        for logits, boxes in zip(predictions.logits, predictions.boxes, strict=True):
            scores, labels = logits.detach().sigmoid().max(-1)
            order = scores.argsort(descending=True)
            found.append(
                Detections(
                    boxes=boxes[order], scores=scores[order], labels=labels[order], pred_idx=order
                )
            )
        return found

    def ranking_scores(self, class_scores, quality):
        return class_scores


def toy_targets(num_objects: int = 1, image_id: int = 1) -> Targets:
    boxes = torch.tensor([[0.0, 0, 8, 8], [8, 8, 16, 16]])[:num_objects]
    return Targets(
        boxes=boxes,
        labels=torch.arange(num_objects) % 2,
        valid_size=(16, 16),
        padded_size=(32, 32),
        original_size=(32, 32),
        image_id=image_id,
    )


def toy_batch(*num_objects: int) -> Batch:
    counts = num_objects or (1,)
    targets = tuple(toy_targets(n, image_id=i + 1) for i, n in enumerate(counts))
    return Batch(images=torch.zeros(len(counts), 3, 32, 32), targets=targets)
