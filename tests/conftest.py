"""What every test gets: few threads, quick options, and skips that name what is missing."""

import gc
import importlib.util
import os
import signal
import sys

import pytest

# Hardly anything that is imported or collected is ever garbage (see pytest_collection_finish).
gc.disable()

# Each process would compile all tests anew, and pytest rewrite their assertions: ten seconds.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell starts what runs in its background deaf to Ctrl-C, which tests send to themselves and to
# the processes that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the processes that run tests; the one that hands them out needs no torch."""
    if hasattr(config, "workerinput") or config.getoption("dist", "no") == "no":
        from tests.helpers.process import prepare

        prepare()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--detector",
        action="append",
        metavar="NAME",
        help="run only what is run for every detector, and for this one (may be repeated)",
    )


def of_detectors(items: list[pytest.Item], names: list[str]) -> list[pytest.Item]:
    """Return the tests whose parameter ``detector`` is exactly one of ``names``.

    ``-k`` looks for parts of names: it takes ``atss_small_wide`` for ``atss_small``.
    """
    specs = ((item, getattr(item, "callspec", None)) for item in items)
    return [i for i, spec in specs if spec is not None and spec.params.get("detector") in names]


def pytest_collection_finish() -> None:
    """Take what was imported and collected, a million objects, out of every garbage collection.

    Collections were a twentieth of the time. They are rarer now: most of what tests make ends with
    its last reference.
    """
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    names = config.getoption("--detector")
    if names:
        kept = of_detectors(items, names)
        config.hook.pytest_deselected(items=[i for i in items if i not in kept])
        items[:] = kept
    if importlib.util.find_spec("torchsort") is None:
        skip = pytest.mark.skip(reason="torchsort is not installed")
        for item in items:
            if "torchsort" in item.keywords:
                item.add_marker(skip)
    for marker, module in (("hf", "transformers"), ("rfdetr", "rfdetr")):
        if importlib.util.find_spec(module) is None:
            skip = pytest.mark.skip(reason=f"{module} is not installed (make plug)")
            for item in items:
                # Not `in item.keywords`: parameters such as the detector "hf" are among them.
                if item.get_closest_marker(marker):
                    item.add_marker(skip)
    if any(importlib.util.find_spec(name) is None for name in ("onnxruntime", "onnxscript")):
        skip = pytest.mark.skip(reason="onnx, onnxscript, onnxruntime are not installed (make env)")
        for item in items:
            if "onnx" in item.keywords:
                item.add_marker(skip)
    import torch

    from corrlight.export.files import ONNX_TORCH  # What it imports was patched before.

    if torch.__version__ < ONNX_TORCH:
        skip = pytest.mark.skip(reason=f"ONNX files need torch {ONNX_TORCH}")
        for item in items:
            if "onnx" in item.keywords:
                item.add_marker(skip)
    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="no CUDA device")
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(skip)
