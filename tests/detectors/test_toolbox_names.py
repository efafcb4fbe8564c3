import pytest
import torch

from corrlight.detectors.toolbox_names import from_toolbox_names

RULES = ((r"head\.(\d)\.weight", r"tower.\1.weight"), (r"head\.(.+)", r"\1"))


def test_first_rule_that_matches_counts():
    state = {"head.1.weight": torch.ones(1), "head.bias": torch.zeros(1)}
    renamed = from_toolbox_names(state, RULES)
    assert renamed["tower.1.weight"] is state["head.1.weight"]
    assert set(renamed) == {"tower.1.weight", "bias"}


def test_unknown_and_colliding_names():
    with pytest.raises(ValueError, match=r"known names, but got 'neck\.weight'"):
        from_toolbox_names({"neck.weight": torch.ones(1)}, RULES)
    state = {"head.bias": torch.ones(1), "head.head.bias": torch.ones(1)}
    with pytest.raises(ValueError, match="two become 'bias'"):
        from_toolbox_names(state, ((r"(?:head\.)+(.+)", r"\1"),))
