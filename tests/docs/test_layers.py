"""Imports go one way, as docs/architecture.md says."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = (
    (
        "arguments",
        "structures",
        "boxes",
        "atomic",
        "class_order",
        "distributed",
        "json_files",
        "needs",
        "picture_files",
        "optim",
        "learning_rate",
        "lightning_private",
    ),
    ("modes",),
    ("coco", "ops"),
    ("losses", "backbones"),
    ("assigners",),
    ("criteria", "detectors", "postprocess"),
    ("metrics", "data"),
    ("module",),
    ("config",),
    ("runs",),
    ("commands", "engine", "sweeps"),
    ("reporting",),
    ("analysis", "callbacks", "convert", "datasets", "doctor", "predict"),
    ("export",),
    ("plug",),
    ("guests",),
    ("app",),
    ("cli",),
)
LAYER = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted((ROOT / "corrlight").rglob("*.py"))


def _part(path):
    name = path.relative_to(ROOT / "corrlight").parts[0]
    return name.removesuffix(".py")


@cache
def _imports(path):
    """Return the modules that a file imports at run time, inside functions too."""
    return [*_found_imports(path)]


def _found_imports(path):
    skipped = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped.update(id(inner) for statement in node.body for inner in ast.walk(statement))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_part_has_a_layer():
    parts = {_part(path) for path in FILES} - {"__init__"}
    assert parts == set(LAYER)


@pytest.mark.parametrize("part", sorted(LAYER))
def test_nothing_imports_a_layer_above(part):
    files = [path for path in FILES if _part(path) == part]
    assert files
    upward = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in _imports(path)
        if name.startswith("corrlight.") and LAYER[name.split(".")[1]] > LAYER[part]
    ]
    assert upward == []


def test_the_package_does_not_know_the_experiments():
    for path in FILES:
        assert not any(name.split(".")[0] == "experiments" for name in _imports(path)), path


def test_reporting_knows_neither_torch_nor_lightning():
    names = {n.split(".")[0] for p in FILES if _part(p) == "reporting" for n in _imports(p)}
    assert "numpy" in names
    assert not names & {"torch", "torchvision", "lightning", "wandb"}


def test_upward_imports_would_be_found(tmp_path):
    file = tmp_path / "a.py"
    file.write_text("def f():\n    from corrlight.engine.prepare import prepare\n")
    assert list(_imports(file)) == ["corrlight.engine.prepare"]
