import importlib
from pathlib import Path

import pytest

from corrlight.ops import switch
from corrlight.ops.switch import OPERATORS, VARIABLE, fast_ops, is_on, operators_on, set_fast_cpu

FOLDER = Path(switch.__file__).parent


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(switch, "_on", None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, OPERATORS),
        ("1", OPERATORS),
        ("", OPERATORS),
        ("0", ()),
        ("dropout", ("dropout",)),
        ("roi_align, dropout", ("dropout", "roi_align")),
    ],
)
def test_the_environment_says_what_is_on(monkeypatch, value, expected):
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    assert operators_on() == tuple(expected)
    assert [name for name in OPERATORS if is_on(name)] == list(expected)


def test_the_option_can_only_take_away(monkeypatch):
    set_fast_cpu(False)
    assert operators_on() == ()
    set_fast_cpu(True)
    assert operators_on() == OPERATORS
    monkeypatch.setenv(VARIABLE, "0")
    set_fast_cpu(True)
    assert operators_on() == ()


@pytest.mark.parametrize("value", ["winnograd", "dropout,2", "true"])
def test_unknown_operators_are_named(monkeypatch, value):
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ValueError, match=f"Expected `{VARIABLE}` to be 0, 1 or names of adam"):
        operators_on()
    with pytest.raises(ValueError, match=value.rpartition(",")[2]):
        set_fast_cpu(True)


def test_a_block_has_its_own_operators_and_leaves_what_was():
    with fast_ops(["dropout", "roi_align"]):
        assert operators_on() == ("dropout", "roi_align")
        with fast_ops([]):
            assert not is_on("dropout")
        with pytest.raises(ZeroDivisionError), fast_ops([]):
            1 / 0  # noqa: B018
        assert is_on("dropout")
    assert operators_on() == OPERATORS
    with pytest.raises(ValueError, match="'relu'"), fast_ops(["relu"]):
        pass


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_is_a_module_that_says_what_it_equals(name):
    importlib.import_module(f"corrlight.ops.{name}")
    text = " ".join((FOLDER / f"{name}.py").read_text(encoding="utf-8").split())
    assert "Equals ``torch" in text or "Equals PyTorch" in text
    assert f'is_on("{name}")' in "".join(p.read_text() for p in FOLDER.parent.rglob("*.py"))


def test_every_module_is_an_operator_or_part_of_one():
    parts = {"switch", "weighted_rows", "winograd"}
    assert {p.stem for p in FOLDER.glob("*.py")} == {"__init__", *OPERATORS} | parts


def test_nothing_is_keyed_by_address_or_version():
    for path in FOLDER.parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "data_ptr" not in text, path
        assert "._version" not in text, path
