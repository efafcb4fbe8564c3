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
    from rfdetr.models.matcher import HungarianMatcher

    from tests.helpers.plug.rfdetr_case import RFDetrCase


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_bar(check):
    check(RFDetrCase())


def test_the_matcher_is_asked_as_often_as_without(monkeypatch):
    case = RFDetrCase()
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
    case = RFDetrCase()
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


def test_a_criterion_that_is_not_as_expected_is_refused():
    criterion = made(RFDetrCase()).criterion
    criterion._get_matched_targets = lambda targets: targets
    match = r"but in rfdetr \S+ it does not: rfdetr 1\.11\.2 is the version that is known"
    with pytest.raises(ValueError, match=match):
        correlate(criterion)
    assert "loss_correlation" not in criterion.weight_dict
    assert not criterion._forward_hooks
