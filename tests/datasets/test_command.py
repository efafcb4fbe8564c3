"""``corrlight data``: the list of its commands."""

import subprocess
import sys

import pytest

from corrlight.cli import main
from tests.datasets.checking.small_set import write_set


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_commands_are_listed(arguments, capsys):
    assert main(["data", *arguments]) == 0
    text = capsys.readouterr().out
    assert "  import " in text
    assert "  split " in text
    assert "  check " in text
    assert "  show " in text


def test_unknown_command(capsys):
    assert main(["data", "imprt"]) == 2
    assert capsys.readouterr().err == "error: Unknown command 'imprt' (corrlight data --help)\n"


@pytest.mark.parametrize(
    "arguments",
    [
        "data",
        *(f"data {command} --help" for command in ("import", "split", "check", "show")),
    ],
)
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys\nfrom corrlight.cli import main\n"
        f"assert main({arguments.split()!r}) == 0\n"
        "print(sorted({'torch', 'numpy', 'PIL', 'lightning'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_check_and_show_do_not_wait_for_torch(tmp_path):
    root, page = write_set(tmp_path / "set"), str(tmp_path / "x.html")
    code = (
        "import sys\nfrom corrlight.cli import main\n"
        f"assert main(['data', 'check', {str(root)!r}]) == 0\n"
        f"assert main(['data', 'show', {str(root)!r}, '--out', {page!r}]) == 0\n"
        "print(sorted({'torch', 'torchvision', 'lightning'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
