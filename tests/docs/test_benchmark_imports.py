"""Benchmarks run by hand: what they import is there, whatever was moved since."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = ("benchmarks", "corrlight", "experiments", "tests")


def _file(module):
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _names(path):
    """Return what a module defines or imports at its top level, or in a branch there."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return names


def _missing(text):
    missing = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            wanted = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            wanted = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        for module, name in wanted:
            if module.partition(".")[0] not in OWN or (name and _file(f"{module}.{name}").exists()):
                continue
            path = _file(module)
            if not path.exists() and not (path.name == "__init__.py" and path.parent.is_dir()):
                missing.append(module)
            elif name and name not in (_names(path) if path.exists() else ()):
                missing.append(f"{module}.{name}")
    return missing


@pytest.mark.parametrize("folder", ["benchmarks", "experiments"])
def test_that_what_scripts_import_is_there(folder):
    found = {
        str(path.relative_to(ROOT)): _missing(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / folder).rglob("*.py"))
    }
    assert found
    assert {path: names for path, names in found.items() if names} == {}


def test_that_what_is_gone_is_found():
    text = "from benchmarks.gone import A\nfrom corrlight.runs.folder import LAST, NOTHING\n"
    assert _missing(text) == ["benchmarks.gone", "corrlight.runs.folder.NOTHING"]
