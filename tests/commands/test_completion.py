import shutil
import subprocess
import sys

import pytest

from corrlight import cli
from corrlight.commands.completion import COMMANDS, bash_script

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


def completed(tmp_path, *words):
    """Complete the last word as bash does, with this checkout as ``corrlight``."""
    program = tmp_path / "bin" / "corrlight"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m corrlight.cli "$@"\n')
    program.chmod(0o755)
    line = " ".join(("corrlight", *words))
    quoted = " ".join(f"'{word}'" for word in ("corrlight", *words))
    script = (
        f"PATH='{program.parent}':$PATH\n{bash_script()}"
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; COMP_LINE='{line}'; "
        f"COMP_POINT={len(line)}; _corrlight; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()


def test_commands(tmp_path):
    assert completed(tmp_path, "ex") == ["export"]


def test_every_command_is_known(capsys):
    cli.main([])
    lines = capsys.readouterr().out.splitlines()[3:]
    assert {line.split()[0] for line in lines if line} == {*COMMANDS, "--version"}


def test_options_of_a_command(tmp_path):
    assert completed(tmp_path, "predict", "shots", "--sc") == ["--score-threshold"]


def test_overrides_of_a_training(tmp_path):
    found = completed(tmp_path, "train", "detector=atss")
    assert {"detector=atss", "detector=atss_small"} <= set(found)


def test_the_script_is_printed(capsys):
    assert cli.main(["completion", "bash"]) == 0
    assert capsys.readouterr().out == bash_script()
    assert cli.main(["completion", "tcsh"]) == 2
