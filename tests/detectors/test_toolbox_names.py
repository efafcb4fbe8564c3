import pytest
import torch

from corrlight.detectors.toolbox_names import from_toolbox_names, rename, to_toolbox_names

RULES = (
    ("head.{i}.{p}", "tower.{i}.{p}"),
    ("{cls|reg}_convs.{i}.gn.{p}", "{cls|reg}_tower.{i}.norm.{p}"),
    ("new.{p}", "body.{p}", "3.x"),
    ("old.{p}", "body.{p}", "2.x"),
)


def test_names_go_back_and_forth():
    state = {"head.12.weight": torch.ones(1), "reg_convs.0.gn.bias": torch.zeros(1)}
    ours = from_toolbox_names(state, RULES)
    assert [*ours] == ["tower.12.weight", "reg_tower.0.norm.bias"]
    assert ours["tower.12.weight"] is state["head.12.weight"]
    assert to_toolbox_names(ours, RULES) == state


def test_both_versions_are_read_and_one_is_written():
    for name in ("old.a.b", "new.a.b"):
        assert rename(name, RULES, to="ours") == "body.a.b"
    ours = {"body.a.b": torch.ones(1)}
    assert [*to_toolbox_names(ours, RULES)] == ["new.a.b"]
    assert [*to_toolbox_names(ours, RULES, "2.x")] == ["old.a.b"]


def test_templates_fit_whole_names_and_letters_are_literal():
    for name in ("head.x.weight", "a.head.1.weight", "head.1.", "headx1.weight", "cls_convs.1.gn"):
        assert rename(name, RULES, to="ours") is None


def test_first_rule_that_fits_counts():
    rules = (("a.{i}.{p}", "b.{i}.{p}"), ("a.{p}", "c.{p}"))
    assert rename("a.1.x", rules, to="ours") == "b.1.x"
    assert rename("a.x", rules, to="ours") == "c.x"


def test_unknown_and_colliding_names():
    with pytest.raises(ValueError, match=r"known names, but got 'neck\.weight'"):
        from_toolbox_names({"neck.weight": torch.ones(1)}, RULES)
    state = {"new.bias": torch.ones(1), "old.bias": torch.ones(1)}
    with pytest.raises(ValueError, match=r"two become 'body\.bias'"):
        from_toolbox_names(state, RULES)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (("a.{i}", "b.{j}"), "same placeholders"),
        (("a.{x}", "b.{x}"), r"each of \{i\}"),
        (("a.{i}.{i}", "b.{i}"), "at most once"),
        (("a.{p}", "b.{p}", "4.x"), "'2.x' or '3.x', but got '4.x'"),
    ],
)
def test_rules_that_cannot_be_inverted(rule, message):
    with pytest.raises(ValueError, match=message):
        rename("a.1", (rule,), to="ours")


def test_unknown_version():
    with pytest.raises(ValueError, match=r"`version` .* but got '1\.x'"):
        to_toolbox_names({}, RULES, "1.x")
