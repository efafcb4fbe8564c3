"""One call for all libraries."""

import ast
from pathlib import Path

import pytest
import torch
from torch import nn

import corrlight
from corrlight.plug import Correlation, correlate
from corrlight.plug.correlate import library_of, unwrapped
from tests.helpers.plug.torchvision_zoo import TORCHVISION_ZOO

PACKAGE = Path(corrlight.__file__).parent


def retinanet():
    torch.manual_seed(0)
    return TORCHVISION_ZOO["retinanet"]()


def test_the_library_is_that_of_the_nearest_class():
    class Mine(type(retinanet())):
        pass

    assert library_of(Mine.__new__(Mine)) == "torchvision"
    with pytest.raises(ValueError, match=r"but got a Linear: docs/plug_in\.md says what to do"):
        correlate(nn.Linear(2, 2))


def test_wrappers_are_seen_through():
    model = retinanet()
    assert unwrapped(nn.DataParallel(model)) is model
    compiled = torch.compile(model)
    assert unwrapped(nn.DataParallel(compiled)) is model
    handle = correlate(compiled)
    assert "compute_loss" in vars(model.head)
    handle.remove()
    assert "compute_loss" not in vars(model.head)


def test_the_handle_names_library_and_version():
    handle = correlate(retinanet(), 0.3, "pearson")
    assert isinstance(handle, Correlation)
    assert handle.library.startswith("torchvision 0.")
    assert (handle.weight, handle.loss.coefficient) == (0.3, "pearson")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"weight": -1}, "weight"),
        ({"coefficient": "kendall"}, "coefficient"),
        ({"group_by": "class"}, "group_by"),
        ({"backprop": "none"}, "backprop"),
        ({"layers": "some"}, "layers"),
        ({"min_positives": 1}, "min_positives"),
    ],
)
def test_options_are_checked_before_the_detector_changes(options, name):
    model = retinanet()
    with pytest.raises(ValueError, match=f"^Expected `{name}` "):
        correlate(model, **options)
    assert "compute_loss" not in vars(model.head)


def imported_by(file):
    """Names of modules that the import of a file imports."""
    skipped = set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if checking or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            skipped |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) not in skipped and isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if id(node) not in skipped and isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_nothing_imports_a_library_that_may_be_missing():
    own = {"corrlight.plug.transformers", "corrlight.plug.callback"}
    for file in sorted(PACKAGE.rglob("*.py")):
        found = set(imported_by(file))
        name = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        libraries = {module.partition(".")[0] for module in found}
        assert not libraries & {"transformers", "rfdetr", "accelerate"} or name in own, name
        assert not found & own, f"{name} imports {found & own}"
