import subprocess
import sys

import pytest

from corrlight import __version__
from corrlight.cli import main


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_command(arguments, capsys):
    assert main(arguments) == 0
    said = capsys.readouterr().out
    for command in ("train", "analyze", "runs", "data", "convert", "predict", "export", "doctor"):
        assert f"\n  {command} " in said


def test_an_unknown_command_is_named(capsys):
    assert main(["trian"]) == 2
    said = capsys.readouterr().err
    assert said == "error: Unknown command 'trian' (corrlight --help lists all).\n"


def without_torch(*arguments):
    """Return what a command prints in a process of its own that has not imported torch."""
    code = (
        "import sys\nfrom corrlight.cli import main\n"
        f"try:\n    code = main({list(arguments)!r})\n"
        "except SystemExit as end:\n    code = end.code\n"
        "assert 'torch' not in sys.modules\nsys.exit(code)"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("command", ["analyze", "runs", "data", "convert", "predict", "export"])
def test_sub_commands_have_help_and_import_no_torch(command):
    done = without_torch(command, "--help")
    assert done.returncode == 0, done.stderr
    assert f"usage: corrlight {command}" in done.stdout


def test_the_options_of_training_are_told_without_torch():
    done = without_torch("train", "--help")
    assert done.returncode == 0, done.stderr
    assert "python run.py" in done.stdout


def test_wrong_options_of_a_conversion_are_told_without_torch():
    done = without_torch("convert", "a.pth", "b.ckpt", "--to", "keras")
    assert done.returncode == 2
    assert done.stderr.startswith("error: argument --to: invalid choice: 'keras'")


def test_allowed_modules_are_looked_for_where_the_user_is(monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", ["/somewhere"])
    main(["unknown", "+allow_targets=[mine]"])
    assert sys.path == ["/somewhere", ""]


@pytest.mark.parametrize("argument", ["--version", "-V"])
def test_the_version_is_one_line_without_torch(argument):
    done = without_torch(argument)
    assert (done.returncode, done.stdout) == (0, f"corrlight {__version__}\n"), done.stderr
