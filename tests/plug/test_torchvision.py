"""Correlation Loss in torchvision's detectors."""

from importlib.metadata import version

import pytest
from torchvision.models.detection._utils import Matcher

from corrlight.plug import correlate
from tests.helpers.plug.plug_bars import CHECKS, made, seeded
from tests.helpers.plug.torchvision_case import TorchvisionCase
from tests.helpers.plug.torchvision_zoo import TORCHVISION_ZOO


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * n.endswith("rcnn")) for n in TORCHVISION_ZOO],
)
def test_bar(name, check):
    check(TorchvisionCase(name))


@pytest.mark.parametrize("name", ["fcos", "retinanet", "ssd", "faster_rcnn"])
def test_no_second_matching_and_no_second_forward_pass(name, monkeypatch):
    case = TorchvisionCase(name)
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


@pytest.mark.parametrize(
    ("name", "owner", "method"),
    [
        ("retinanet", lambda model: model.head, "compute_loss"),
        ("ssd", lambda model: model, "compute_loss"),
        ("faster_rcnn", lambda model: model.roi_heads, "select_training_samples"),
    ],
)
def test_a_seam_that_is_not_as_expected_is_refused(name, owner, method):
    model = made(TorchvisionCase(name))
    setattr(owner(model), method, lambda targets, outputs: {})
    match = (
        rf"{method}` of torchvision {version('torchvision')} to take .*it takes outputs, targets"
    )
    with pytest.raises(ValueError, match=match.replace("+", r"\+")):
        correlate(model)
    assert hooks_of(model) == 0


def hooks_of(model):
    return sum(len(module._forward_hooks) for module in model.modules())
