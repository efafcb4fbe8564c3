"""Correlation Loss in rfdetr's criterion, with its own matcher and groups of queries."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import nn

from corrlight.plug import correlate
from tests.helpers.plug.plug_bars import CHECKS, made, seeded

pytestmark = pytest.mark.rfdetr

if importlib.util.find_spec("rfdetr") is not None:
    from rfdetr.models.criterion import SetCriterion
    from rfdetr.models.matcher import HungarianMatcher

NUM_CLASSES, NUM_QUERIES, GROUPS, LAYERS = 4, 12, 3, 2
WEIGHTS = {"loss_ce": 1.0, "loss_bbox": 5.0, "loss_giou": 2.0}


class Queries(nn.Module):
    """What an RF-DETR hands to its criterion: layers of queries with a class and a box head."""

    def __init__(self, matcher_cls, criterion_cls):
        super().__init__()
        self.trunk = nn.Linear(6, 32)
        self.queries = nn.Embedding(NUM_QUERIES * GROUPS, 32)
        self.class_embed = nn.ModuleList(nn.Linear(32, NUM_CLASSES) for _ in range(LAYERS))
        self.bbox_embed = nn.ModuleList(nn.Linear(32, 4) for _ in range(LAYERS))
        names = ["", *(f"_{k}" for k in range(LAYERS - 1))]
        self.criterion = criterion_cls(
            NUM_CLASSES,
            matcher_cls(cost_class=2, cost_bbox=5, cost_giou=2),
            {f"{n}{end}": w for n, w in WEIGHTS.items() for end in names},
            focal_alpha=0.25,
            losses=["labels", "boxes"],
            group_detr=GROUPS,
            ia_bce_loss=True,
        )

    def forward(self, features):
        count = NUM_QUERIES * (GROUPS if self.training else 1)
        contents = torch.tanh(self.trunk(features)[:, None] + self.queries.weight[:count])
        layers = [
            {"pred_logits": cls(contents), "pred_boxes": reg(contents).sigmoid() * 0.5 + 0.2}
            for cls, reg in zip(self.class_embed, self.bbox_embed, strict=True)
        ]
        return {**layers[-1], "aux_outputs": layers[:-1]}


class Case:
    num_classes = NUM_CLASSES
    box_heads = r"bbox_embed"
    max_layers = LAYERS
    steps_to_learn = 30
    options = ({"layers": "last"}, {"group_by": "image"}, {"group_queries": "first"})
    foreign = ({"scores": "class"}, {"denoising": True})

    @property
    def one_positive(self):
        return {"layers": "last", "group_queries": "first"}

    def make(self):
        return Queries(HungarianMatcher, SetCriterion)

    def attached(self, model):
        return model.criterion

    def batch(self, kind):
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
        return torch.rand(2, 6, generator=generator), targets

    def step(self, model, batch):
        """The total as rfdetr's training step makes it: terms times their weights."""
        features, targets = batch
        terms = model.criterion(model(features), targets)
        weights = model.criterion.weight_dict
        total = sum(terms[name] * weights[name] for name in terms if name in weights)
        term = terms.get("loss_correlation")
        return total, None if term is None else term * weights["loss_correlation"]

    validate = step


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_bar(check):
    check(Case())


def test_the_matcher_is_asked_as_often_as_without(monkeypatch):
    case = Case()
    model = made(case)
    asked = []
    # Both ways into the matcher: all layers at once, and layer by layer, which is slower and what
    # rfdetr does where a hook is on it.
    for name in ("_match_many", "forward"):
        method = getattr(HungarianMatcher, name)

        def counting(*args, _method=method, _name=name, **kwargs):
            asked.append(_name)
            return _method(*args, **kwargs)

        monkeypatch.setattr(HungarianMatcher, name, counting)
    seeded(case, model)
    without = list(asked)
    asked.clear()
    correlate(model.criterion)
    seeded(case, model)
    assert asked == without
    assert without


def test_targets_that_only_fill_up_are_no_positives():
    case = Case()
    model = made(case)
    handle = correlate(model.criterion, group_queries="first", layers="last")
    features, targets = case.batch("mixed")
    seeded(case, model)
    assert handle.num_positives == 3
    padded = [
        {
            "labels": torch.cat([t["labels"], torch.zeros(5, dtype=torch.long)])[:5],
            "boxes": torch.cat([t["boxes"], torch.full((5, 4), 0.5)])[:5],
            "valid": torch.arange(5) < len(t["labels"]),
        }
        for t in targets
    ]
    torch.manual_seed(7)
    case.step(model, (features, padded))
    assert handle.num_positives == 3


def test_another_object_is_refused():
    from corrlight.plug.rfdetr import attach

    with pytest.raises(ValueError, match=r"RFDETRModelModule or a SetCriterion of rfdetr"):
        attach(nn.Linear(2, 2), None, None)
