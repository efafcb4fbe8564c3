import re
import shutil
import subprocess
import sys

import pytest

from corrlight import cli
from corrlight.commands.completion import COMMANDS, SHELLS, bash_script, fish_script, zsh_script

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


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


@needs_bash
def test_commands(tmp_path):
    assert completed(tmp_path, "ex") == ["export"]


def test_every_command_is_known(capsys):
    cli.main([])
    lines = capsys.readouterr().out.splitlines()[3:]
    assert {line.split()[0] for line in lines if line} == {*COMMANDS, "--version"}


@needs_bash
def test_options_of_a_command(tmp_path):
    assert completed(tmp_path, "predict", "shots", "--sc") == ["--score-threshold"]


@needs_bash
def test_overrides_of_a_training(tmp_path):
    found = completed(tmp_path, "train", "detector=atss")
    assert {"detector=atss", "detector=atss_small"} <= set(found)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed(capsys, shell):
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert script == SHELLS[shell]()
    assert "@" not in script.replace('"$@"', "")  # nothing is left to fill in
    assert " ".join(COMMANDS) in script
    assert "bash zsh fish" in script


def test_another_shell_is_an_error(capsys):
    assert cli.main(["completion", "tcsh"]) == 2
    assert "tcsh" in capsys.readouterr().err


def test_zsh_reads_the_function_of_bash_through_bashcompinit():
    lines, function = zsh_script().splitlines(), bash_script().split("# An override")[0]
    assert lines[:2] == ["autoload -Uz compinit bashcompinit", "compinit && bashcompinit"]
    assert function in zsh_script()
    assert lines[-1].startswith("complete ")
    assert lines[-1].endswith("-F _corrlight corrlight")
    assert "COMP_WORDBREAKS" not in zsh_script()  # of bash alone
    assert not re.search(r"\bwords\b", function)  # a special array inside a completion of zsh


def test_fish_has_a_line_for_every_command():
    script = fish_script()
    lines = [line for line in script.splitlines() if line.startswith("complete ")]
    assert all(line.startswith("complete -c corrlight -") for line in lines)
    told = {word for line in lines for word in re.findall(r"__corrlight_command ([^']+)'", line)}
    assert sorted(" ".join(told).split()) == sorted(COMMANDS)
    assert script.count("function ") == sum(line == "end" for line in script.splitlines())
    called = set(re.findall(r"__corrlight_\w+", script))
    assert called == set(re.findall(r"^function (__corrlight_\w+)", script, re.MULTILINE))


def test_what_fish_asks_for_is_answered(monkeypatch, capfd):
    asked = re.sub("^.*?train", "corrlight", "corrlight train detector=atss_s")
    monkeypatch.setenv("COMP_LINE", asked)
    assert cli.main(["train", "-sc", "query=fish"]) == 0
    assert capfd.readouterr().out.split() == ["detector=atss_small"]
