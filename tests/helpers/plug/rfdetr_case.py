"""What the bars need of rfdetr: its criterion and matcher behind a network of queries."""

from __future__ import annotations

from typing import Any

import torch
from rfdetr.models.criterion import SetCriterion
from rfdetr.models.matcher import HungarianMatcher
from torch import Tensor, nn

from corrlight.boxes import xyxy_to_cxcywh
from tests.helpers.plug.drawn import shapes

__all__ = ["RFDetrCase"]

NUM_CLASSES, NUM_QUERIES, GROUPS, LAYERS, FEATURES = 4, 12, 3, 2, 6
WEIGHTS = {"loss_ce": 1.0, "loss_bbox": 5.0, "loss_giou": 2.0}


class Queries(nn.Module):
    """What an RF-DETR hands to its criterion: layers of queries with a class and a box head."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(FEATURES, 32)
        self.queries = nn.Embedding(NUM_QUERIES * GROUPS, 32)
        self.class_embed = nn.ModuleList(nn.Linear(32, NUM_CLASSES) for _ in range(LAYERS))
        self.bbox_embed = nn.ModuleList(nn.Linear(32, 4) for _ in range(LAYERS))
        names = ["", *(f"_{k}" for k in range(LAYERS - 1))]
        self.criterion = SetCriterion(
            NUM_CLASSES,
            HungarianMatcher(cost_class=2, cost_bbox=5, cost_giou=2),
            {f"{n}{end}": w for n, w in WEIGHTS.items() for end in names},
            focal_alpha=0.25,
            losses=["labels", "boxes"],
            group_detr=GROUPS,
            ia_bce_loss=True,
        )

    def forward(self, features: Tensor) -> dict[str, Any]:
        count = NUM_QUERIES * (GROUPS if self.training else 1)
        contents = torch.tanh(self.trunk(features)[:, None] + self.queries.weight[:count])
        layers = [
            {"pred_logits": cls(contents), "pred_boxes": reg(contents).sigmoid() * 0.5 + 0.2}
            for cls, reg in zip(self.class_embed, self.bbox_embed, strict=True)
        ]
        return {**layers[-1], "aux_outputs": layers[:-1]}


class RFDetrCase:
    num_classes = NUM_CLASSES
    box_heads = r"bbox_embed"
    pickles = True
    max_layers = LAYERS
    options = ({"layers": "last"}, {"group_by": "image"}, {"group_queries": "first"})
    foreign = ({"scores": "class"}, {"denoising": True})

    one_positive = {"layers": "last", "group_queries": "first"}  # noqa: RUF012

    def make(self) -> nn.Module:
        return Queries()

    def attached(self, model: Any) -> Any:
        return model.criterion

    def batch(self, kind: str) -> Any:
        generator = torch.Generator().manual_seed(11)
        boxes = torch.tensor([[0.3, 0.3, 0.3, 0.4], [0.6, 0.7, 0.3, 0.2], [0.5, 0.5, 0.8, 0.8]])
        none = {"labels": torch.zeros(0, dtype=torch.long), "boxes": torch.zeros(0, 4)}
        some = {"labels": torch.tensor([0, 2, 3]), "boxes": boxes}
        wrong = {"negative": -1, "high": NUM_CLASSES}
        if kind in wrong:
            targets = [none, {**some, "labels": torch.tensor([0, wrong[kind], 3])}]
        elif kind == "one":
            targets = [{k: v[:1] for k, v in some.items()}, none]
        else:
            targets = [none, none] if kind == "empty" else [some, none]
        return torch.rand(2, FEATURES, generator=generator), targets

    def drawn(self, number: int) -> Any:
        """Return a batch of drawn shapes: six mean colours of each picture."""
        features, targets = [], []
        for image, boxes, classes in shapes(number, 64, 64):
            features.append(image.unflatten(1, (2, 32)).mean((2, 3)).flatten())
            targets.append({"labels": classes, "boxes": xyxy_to_cxcywh(boxes) / 64})
        return torch.stack(features), targets

    def joined(self, *batches: Any) -> Any:
        """Return a batch of the images of others."""
        features, targets = zip(*batches, strict=True)
        return torch.cat(features), [one for part in targets for one in part]

    def reloaded(self, model: Any) -> Any:
        """Return another detector with the state dict of this one."""
        other = self.make()
        other.load_state_dict(model.state_dict())
        return other

    def step(self, model: Any, batch: Any) -> tuple[Tensor, Tensor | None]:
        """The total as rfdetr's training step makes it: terms times their weights."""
        features, targets = batch
        terms = model.criterion(model(features), targets)
        weights = model.criterion.weight_dict
        total = sum(terms[name] * weights[name] for name in terms if name in weights)
        term = terms.get("loss_correlation")
        return total, None if term is None else term * weights["loss_correlation"]

    validate = step
