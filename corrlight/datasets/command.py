"""``corrlight data``: own pictures, from other tools' files to what a training reads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

__all__ = ["main"]


def _import(argv: Sequence[str]) -> int:
    from corrlight.datasets.import_command import import_main

    return import_main(argv)


def _split(argv: Sequence[str]) -> int:
    from corrlight.datasets.import_command import split_main

    return split_main(argv)


def _check(argv: Sequence[str]) -> int:
    from corrlight.datasets.checking.command import check_main

    return check_main(argv)


def _show(argv: Sequence[str]) -> int:
    from corrlight.datasets.showing.command import show_main

    return show_main(argv)


# A sub-command is a function, which imports what it needs, and a line here.
_COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "import": (
        _import,
        "annotations of VOC, YOLO, LabelMe, Label Studio, CVAT or COCO to our layout",
    ),
    "check": (_check, "every problem of a set in one pass, with what mends it"),
    "show": (_show, "pictures with their boxes, masks and class names as one HTML page"),
    "split": (_split, "a validation split for a folder that has none, stratified by class"),
}


def main(argv: Sequence[str]) -> int:
    """Run a sub-command of ``corrlight data``; return the exit code.

    Args:
        argv: The arguments after ``data``.

    Returns:
        That of the sub-command; 2 if there is none of that name.
    """
    lines = [f"  {name:<7}  {text}" for name, (_, text) in _COMMANDS.items()]
    usage = "\n".join(["usage: corrlight data COMMAND ...", "", "commands:", *lines])
    usage += "\n\ncorrlight data COMMAND --help has the options; docs/own_data.md has examples."
    if not argv or argv[0] in ("-h", "--help"):
        print(usage)
        return 0
    if argv[0] not in _COMMANDS:
        print(f"error: Unknown command '{argv[0]}' (corrlight data --help)", file=sys.stderr)
        return 2
    return _COMMANDS[argv[0]][0](argv[1:])
