"""No case of the detector fixtures is left out: what the index has is what the tests run."""

import importlib
from pathlib import Path

import pytest

from tests.helpers.fixture_cases import FixtureCase, all_cases

pytestmark = pytest.mark.fixtures


def run_cases():
    """Return the cases that the tests beside this file are parametrised with."""
    found = set()
    for path in sorted(Path(__file__).parent.glob("test_*_fixtures.py")):
        module = importlib.import_module(f"tests.detectors.{path.stem}")
        for name, function in vars(module).items():
            if name.startswith("test_"):
                marks = [m for m in getattr(function, "pytestmark", []) if m.name == "parametrize"]
                values = [value for mark in marks for value in mark.args[1]]
                # A test that is skipped runs nothing.
                skipped = any(m.name.startswith("skip") for m in function.pytestmark)
                found |= {v for v in values if isinstance(v, FixtureCase) and not skipped}
    return found


@pytest.mark.parametrize("folder", sorted({case.folder for case in all_cases()}))
def test_every_case_is_run(folder):
    expected = {case for case in all_cases() if case.folder == folder}
    missing = expected - run_cases()
    assert not missing, f"not run: {', '.join(map(str, sorted(missing)))}"
    quantities = {case.quantity for case in expected}
    assert {"losses", "edge", "grad_norm", "corr_grad", "detections"} <= quantities


def test_there_are_cases_of_seven_detectors():
    folders = {case.folder.removesuffix("_noaux") for case in all_cases()}
    assert len(folders) == 7
    assert len(all_cases()) > 50
