import subprocess
import sys

import pytest

from corrlight.cli import main


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_command(arguments, capsys):
    assert main(arguments) == 0
    said = capsys.readouterr().out
    for command in ("train", "analyze", "runs", "convert"):
        assert f"\n  {command} " in said


def test_an_unknown_command_is_named(capsys):
    assert main(["trian"]) == 2
    assert "Unknown command 'trian'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["analyze", "runs"])
def test_sub_commands_have_help_and_import_no_torch(command):
    code = (
        "import sys\nfrom corrlight.cli import main\n"
        f"try:\n    main([{command!r}, '--help'])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"corrlight {command}" in done.stdout


def test_allowed_modules_are_looked_for_where_the_user_is(monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", ["/somewhere"])
    main(["unknown", "+allow_targets=[mine]"])
    assert sys.path == ["/somewhere", ""]
