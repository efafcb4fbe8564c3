"""``corrlight completion SHELL``: a script that completes commands, options and overrides."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from corrlight.commands.parsing import Parser, guarded

__all__ = ["COMMANDS", "SHELLS", "bash_script", "fish_script", "main", "zsh_script"]

COMMANDS = (
    "train", "predict", "export", "analyze", "runs", "data", "convert", "doctor", "completion",
)  # fmt: skip

# Options are asked of the commands themselves, overrides of Hydra, which completes for a program
# without sub-commands: the line is told without "train".
_BASH = """_corrlight() {
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} found
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        found="@commands@ --version --help"
    elif [ "$command" = train ] && [ "${word#-}" = "$word" ]; then
        found=$(COMP_LINE="corrlight${COMP_LINE#*train}" corrlight train -sc query=bash 2>/dev/null)
    elif [ "${word#-}" != "$word" ]; then
        found=$(corrlight "$command" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]*' | sort -u)
    elif [ "$command" = completion ]; then
        found="@shells@"
    fi
    COMPREPLY=($(compgen -W "$found" -- "$word"))
    # After a finished option comes a space, after "group=" and "section." its value.
    case ${COMPREPLY[0]} in *=|*.|*/) compopt -o nospace 2>/dev/null ;; esac
}
"""
_BASH_END = """# An override is one word.
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o default -F _corrlight corrlight
"""
# zsh runs completions of bash, without `compopt`: no space after any word rather than after "=".
_ZSH_BEGIN = """autoload -Uz compinit bashcompinit
compinit && bashcompinit
"""
_ZSH_END = """complete -o default -o nospace -F _corrlight corrlight
"""
# The conditions: the first word; any later one of a command.
_FISH = """function __corrlight_first
    test (count (commandline -opc)) -eq 1
end
function __corrlight_command
    set -l words (commandline -opc)
    test (count $words) -gt 1; and contains -- $words[2] $argv
end
function __corrlight_overrides
    set -lx COMP_LINE (commandline -cp | string replace -r '^.*?train' corrlight)
    corrlight train -sc query=fish 2>/dev/null
end
function __corrlight_options
    set -l words (commandline -opc)
    corrlight $words[2] --help 2>/dev/null | string match -ar -- '--[a-z][a-z-]*' | sort -u
end
complete -c corrlight -e
complete -c corrlight -n __corrlight_first -f -a '@commands@ --version --help'
complete -c corrlight -n '__corrlight_command train' -a '(__corrlight_overrides)'
complete -c corrlight -n '__corrlight_command @with_options@' -a '(__corrlight_options)'
complete -c corrlight -n '__corrlight_command completion' -f -a '@shells@'
"""


def bash_script() -> str:
    """Return the script, to be read by ``eval "$(corrlight completion bash)"``."""
    return _filled(_BASH + _BASH_END)


def zsh_script() -> str:
    """Return the script, to be read by ``eval "$(corrlight completion zsh)"``."""
    return _filled(_ZSH_BEGIN + _BASH + _ZSH_END)


def fish_script() -> str:
    """Return the script, to be read by ``corrlight completion fish | source``."""
    return _filled(_FISH)


SHELLS: dict[str, Callable[[], str]] = {
    "bash": bash_script,
    "zsh": zsh_script,
    "fish": fish_script,
}


def _filled(script: str) -> str:
    with_options = (name for name in COMMANDS if name not in ("train", "completion"))
    for name, words in (
        ("commands", COMMANDS),
        ("with_options", with_options),
        ("shells", SHELLS),
    ):
        script = script.replace(f"@{name}@", " ".join(words))
    return script


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="corrlight completion",
        description="Print a script that completes commands, options and overrides: put "
        'eval "$(corrlight completion bash)" into ~/.bashrc, the same with zsh into ~/.zshrc, or '
        "corrlight completion fish | source into config.fish.",
    )
    parser.add_argument("shell", choices=tuple(SHELLS), help="whose completion")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Print the script; return the exit code."""

    def show(options: argparse.Namespace) -> int:
        print(SHELLS[options.shell](), end="")
        return 0

    return guarded(_options, argv, show, reader_may_leave=True)
