"""``fast_cpu`` and ``CORRLIGHT_FAST_CPU`` of a run."""

import json

import pytest

from corrlight.app import BAD_INPUT
from corrlight.app import run as run_app
from corrlight.ops.switch import OPERATORS, VARIABLE, fast_ops
from tests.integration.conftest import run_folder


@pytest.fixture(autouse=True)
def _as_before():
    """A run sets the switch of its process."""
    with fast_ops(OPERATORS):
        yield


@pytest.mark.slow
def test_a_run_without_fast_code_is_the_same_run_and_says_how_it_was_made(options, tmp_path):
    options = [*options, "schedule.max_epochs=1", "resume=true"]
    assert run_app([*options, "fast_cpu=false"]) == 0
    folder = run_folder(tmp_path / "runs")
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["hardware"]["fast_cpu"] == []
    plain = json.loads((folder / "metrics.json").read_text())
    assert run_app([*options, "rerun=true"]) == 0
    assert run_folder(tmp_path / "runs") == folder
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["hardware"]["fast_cpu"] == [*OPERATORS]
    fast = json.loads((folder / "metrics.json").read_text())
    assert fast["num_objects"] == plain["num_objects"]
    assert fast["AP"] == pytest.approx(plain["AP"], abs=0.02)


def test_an_operator_that_there_is_not_is_one_line(options, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, "winograd")
    assert run_app(options) == BAD_INPUT
    error = capsys.readouterr().err
    assert error.startswith(f"error: Expected `{VARIABLE}` to be 0, 1 or names of adam")
    assert error.count("\n") == 1
