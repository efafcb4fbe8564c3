"""The table of findings against the code that reports them."""

import ast
from pathlib import Path

import pytest

import corrlight.coco
from corrlight.coco.kinds import INVALID_BOXES, KINDS

FOLDER = Path(corrlight.coco.__file__).parent


def texts():
    """Return the string constants of the package, but for those of the table."""
    for path in FOLDER.rglob("*.py"):
        if path.name == "kinds.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_every_kind_is_reported_somewhere():
    reported = set(texts())
    assert {"unknown_"} <= reported  # with the name of the key after it
    assert {kind for kind in KINDS if not kind.startswith("unknown_")} <= reported


@pytest.mark.parametrize("name", KINDS)
def test_titles_go_on_after_a_count_and_ways_out_are_sentences(name):
    kind = KINDS[name]
    assert kind.title[0].islower() or kind.title.startswith("no COCO")
    assert not kind.title.endswith(".")
    for sentence in filter(None, (kind.way_out, kind.in_training)):
        assert sentence.endswith(".")
    assert kind.stops <= {"measure", "train"}
    assert kind.warns <= {"measure", "train"}


def test_whatever_stops_a_measure_stops_a_training():
    assert [name for name, kind in KINDS.items() if kind.stops == {"measure"}] == []


def test_boxes_that_may_be_left_out_stop_a_training_and_say_how():
    assert set(INVALID_BOXES) == {n for n, k in KINDS.items() if "drop" in k.in_training}
    assert all("train" in KINDS[name].stops for name in INVALID_BOXES)
