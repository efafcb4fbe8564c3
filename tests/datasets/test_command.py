"""``corrlight data``: the list of its commands."""

import subprocess
import sys

import pytest

from corrlight.cli import main


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_commands_are_listed(arguments, capsys):
    assert main(["data", *arguments]) == 0
    text = capsys.readouterr().out
    assert "  import " in text
    assert "  split " in text


def test_unknown_command(capsys):
    assert main(["data", "imprt"]) == 2
    assert capsys.readouterr().err == "error: Unknown command 'imprt' (corrlight data --help)\n"


@pytest.mark.parametrize("arguments", ["data", "data import --help", "data split --help"])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys\nfrom corrlight.cli import main\n"
        f"assert main({arguments.split()!r}) == 0\n"
        "print(sorted({'torch', 'numpy', 'PIL', 'lightning'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
