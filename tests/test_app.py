"""The command line of run.py, up to where a run starts."""

import pytest

from corrlight.app import main, run
from corrlight.runs.ending import BAD_INPUT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sede=1"], "Unknown option 'sede'"),
        (["mode=test"], "Expected `ckpt` to be a run folder or a checkpoint in mode=test"),
        (["ckpt=/nowhere"], "there is no /nowhere"),
        (["resume=/nowhere/epoch=3"], "there is no /nowhere/epoch=3"),
        (["launcher.jobs=2"], "Expected `launcher` only with -m or a table"),
        (["name=a=b"], "quotes within quotes"),
        (["--config-name", "other"], "Expected no --config-name"),
        (["--config-dir", "/nowhere"], "`--config-dir` to be a folder"),
    ],
)
def test_wrong_commands_are_one_line(arguments, message, capsys):
    assert main(arguments) == BAD_INPUT
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_folder_that_is_no_run_is_named(tmp_path, capsys):
    assert run([f"ckpt={tmp_path}", "mode=test"]) == BAD_INPUT
    assert f"Expected a run folder, but {tmp_path} has no overrides.yaml" in capsys.readouterr().err


def test_what_is_no_run_is_not_resumed(tmp_path, capsys):
    """Read as true, it would train something else from the start."""
    file = tmp_path / "copy_of_last.ckpt"
    file.write_bytes(b"")
    for options in ([], ["schedule.max_epochs=4"]):
        assert run([f"resume={file}", *options]) == BAD_INPUT
        error = capsys.readouterr().err
        assert "Expected `resume` to be a run folder, or a checkpoint that lies in one" in error
        assert f"init={file}" in error


def test_overrides_of_a_folder_are_a_list(tmp_path, capsys):
    (tmp_path / "overrides.yaml").write_text("a: 1")
    assert run([f"resume={tmp_path}"]) == BAD_INPUT
    assert "Expected a list of overrides" in capsys.readouterr().err


def test_a_job_that_finds_a_sweep_starts_none(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("CORRLIGHT_STATUS", str(tmp_path / "report"))
    assert run(["hydra.mode=MULTIRUN"]) == BAD_INPUT
    assert "Expected one run in a job of a sweep" in capsys.readouterr().err


def test_a_traceback_on_request(monkeypatch, capsys):
    monkeypatch.setenv("CORRLIGHT_TRACEBACK", "1")
    assert run(["sede=1"]) == BAD_INPUT
    assert "Traceback" in capsys.readouterr().err
