"""Correlation Loss in torchvision's detectors."""

import pytest
import torch
from torchvision.models.detection._utils import Matcher

from corrlight.plug import correlate
from tests.helpers.plug.plug_bars import CHECKS, made, seeded
from tests.helpers.plug.torchvision_zoo import NUM_CLASSES, TORCHVISION_ZOO


class Case:
    options = ({"group_by": "level"}, {"group_by": "image"})
    num_classes = NUM_CLASSES
    max_layers = 1
    steps_to_learn = 8
    one_positive = None
    box_heads = r"regression_head|bbox_pred|rpn\.head"
    foreign = ({"layers": "all"}, {"denoising": False}, {"group_queries": "first"})

    def __init__(self, name):
        self.name, self.make = name, TORCHVISION_ZOO[name]
        if name == "fcos":
            self.options = (*self.options, {"scores": "ranking"})
        else:
            self.foreign = (*self.foreign, {"scores": "ranking"})

    def attached(self, model):
        return model

    def batch(self, kind):
        generator = torch.Generator().manual_seed(11)
        images = [torch.rand(3, h, w, generator=generator) for h, w in ((64, 96), (64, 64))]
        none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}
        some = {
            "boxes": torch.tensor([[4.0, 8, 52, 56], [40, 6, 90, 40]]),
            "labels": torch.tensor([1, 3]),
        }
        wrong = {"negative": -1, "high": NUM_CLASSES}
        if kind in wrong:
            targets = [none, {**some, "labels": torch.tensor([1, wrong[kind]])}]
            targets[1]["boxes"] = some["boxes"] * torch.tensor([0.7, 1, 0.7, 1])
        else:
            targets = [none, none] if kind == "empty" else [some, none]
        if self.name == "mask_rcnn":
            targets = [
                {**t, "masks": torch.ones(len(t["labels"]), *i.shape[1:], dtype=torch.uint8)}
                for t, i in zip(targets, images, strict=True)
            ]
        return images, targets

    def step(self, model, batch):
        losses = model(*batch)
        term = losses.get("correlation", losses.get("loss_correlation"))
        return sum(losses.values()), term

    def validate(self, model, batch):
        detections = model(*batch)
        assert [set(d) >= {"boxes", "scores", "labels"} for d in detections] == [True] * 2


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * n.endswith("rcnn")) for n in TORCHVISION_ZOO],
)
def test_bar(name, check):
    check(Case(name))


@pytest.mark.parametrize("name", ["fcos", "retinanet", "ssd", "faster_rcnn"])
def test_no_second_matching_and_no_second_forward_pass(name, monkeypatch):
    case = Case(name)
    model = made(case)
    calls: list[str] = []
    matcher = Matcher.__call__
    monkeypatch.setattr(Matcher, "__call__", lambda *a: (calls.append("matcher"), matcher(*a))[1])
    model.backbone.register_forward_hook(lambda *a: calls.append("backbone"))
    seeded(case, model)
    without = list(calls)
    calls.clear()
    correlate(model)
    seeded(case, model)
    assert calls == without
    # FCOS matches by itself.
    assert set(without) == ({"backbone"} if name == "fcos" else {"backbone", "matcher"})
