"""``corrlight completion SHELL``: a script that completes commands, options and overrides."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from corrlight.commands.parsing import Parser, guarded

__all__ = ["COMMANDS", "bash_script", "main"]

COMMANDS = (
    "train", "predict", "export", "analyze", "runs", "data", "convert", "doctor", "completion",
)  # fmt: skip

# Options are asked of the commands themselves, overrides of Hydra, which completes for a program
# without sub-commands: the line is told without "train".
_BASH = """_corrlight() {
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="@commands@ --version --help"
    elif [ "$command" = train ] && [ "${word#-}" = "$word" ]; then
        words=$(COMP_LINE="corrlight${COMP_LINE#*train}" corrlight train -sc query=bash 2>/dev/null)
    elif [ "${word#-}" != "$word" ]; then
        words=$(corrlight "$command" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]*' | sort -u)
    elif [ "$command" = completion ]; then
        words=bash
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    # After a finished option comes a space, after "group=" and "section." its value.
    case ${COMPREPLY[0]} in *=|*.|*/) compopt -o nospace 2>/dev/null ;; esac
}
# An override is one word.
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o default -F _corrlight corrlight
"""


def bash_script() -> str:
    """Return the script, to be read by ``eval "$(corrlight completion bash)"``."""
    return _BASH.replace("@commands@", " ".join(COMMANDS))


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="corrlight completion",
        description="Print a script that completes commands, options and overrides: put "
        'eval "$(corrlight completion bash)" into ~/.bashrc.',
    )
    parser.add_argument("shell", choices=("bash",), help="whose completion")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Print the script; return the exit code."""

    def show(options: argparse.Namespace) -> int:
        print(bash_script(), end="")
        return 0

    return guarded(_options, argv, show, reader_may_leave=True)
