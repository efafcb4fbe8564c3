"""Files are short, folders are small, every module has its test, and no circle is left."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "corrlight"
LONGEST, MOST = 470, 16
CODE = sorted(PACKAGE.rglob("*.py"))
MODULES = [path for path in CODE if path.name != "__init__.py"]
# Types and protocols alone: nothing there runs that a test could ask.
_DECLARATIONS = {
    "assigners/base.py", "coco/types.py", "criteria/base.py", "detectors/base.py",
    "losses/base.py", "postprocess/base.py",
}  # fmt: skip
# Tested under other names so far (tests of a room, of an example, golden cases). The list may only
# become shorter.
_ELSEWHERE = {
    *(f"analysis/{n}.py" for n in (
        "comparison", "output", "report", "tables",
    )),
}  # fmt: skip


def _name(path):
    return path.relative_to(PACKAGE).as_posix()


def _has_test(path):
    place = path.relative_to(PACKAGE).parent
    return (ROOT / "tests" / place / f"test_{path.name}").is_file()


def test_every_module_has_a_test_of_its_name():
    missing = {_name(path) for path in MODULES if not _has_test(path)}
    assert missing - _DECLARATIONS - _ELSEWHERE == set()


def test_the_lists_of_exceptions_hold_nothing_that_is_not_needed():
    missing = {_name(path) for path in MODULES if not _has_test(path)}
    assert (_DECLARATIONS | _ELSEWHERE) - missing == set()


@pytest.mark.parametrize("name", sorted(_DECLARATIONS))
def test_declarations_have_no_code_of_their_own(name):
    """No function with a body beyond a docstring, ``...`` or ``raise``."""
    for node in ast.walk(ast.parse((PACKAGE / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            body = [s for s in node.body if not isinstance(s, ast.Expr)]
            assert len(body) <= 3, f"{name}: {node.name}"


def test_files_are_short():
    folders = ("corrlight", "experiments", "benchmarks", "tests")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    long = {
        str(path.relative_to(ROOT)): count
        for path in paths
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST
    }
    assert long == {}


def test_folders_are_small():
    """Except ``experiments/``, where every file that lies flat is a command that a person runs."""
    counts: dict[str, int] = {}
    for path in (*CODE, *(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "tests").rglob("*.py")):
        folder = str(path.parent.relative_to(ROOT))
        counts[folder] = counts.get(folder, 0) + 1
    assert {name: count for name, count in counts.items() if count > MOST} == {}


def _graph():
    names = {
        ".".join(("corrlight", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in CODE
    }
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        found = graph.setdefault(name, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in names:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {i for i in inner if i in names} or {node.module}
    return graph


def _circles(graph):
    """Return the modules that reach themselves, imports in functions and of types included."""

    def reached(start):
        seen, waiting = set(), list(graph[start])
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += graph[name]
        return seen

    return sorted(name for name in graph if name in reached(name))


def test_no_circle_of_imports_is_left():
    assert _circles(_graph()) == []


def test_a_circle_would_be_found():
    assert _circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
