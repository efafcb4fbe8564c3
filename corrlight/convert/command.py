"""``corrlight convert``: checkpoints of mmdetection and torchvision to ours, and back."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from corrlight.commands.parsing import Parser, guarded

__all__ = ["main"]

_INCOMPLETE = 1
# Tensors that are named one by one without being asked to.
_FEW = 10


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="corrlight convert",
        description="Convert a checkpoint: of mmdetection 2.x or 3.x to ours, ours to "
        "mmdetection's names, or the backbone of either or of torchvision.",
        epilog="Exit code 0: written; 1: something required is missing or of another shape, "
        "nothing written; 2: unusable input. docs/convert.md has examples.",
    )
    parser.add_argument("source", type=Path, metavar="SRC", help=".pth, .ckpt or .safetensors")
    parser.add_argument("destination", type=Path, metavar="DST", help="the file to write")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--detector", metavar="NAME", help="a file of conf/detector, such as atss")
    kind.add_argument(
        "--backbone", metavar="NAME", help="a file of conf/backbone: take the backbone alone"
    )
    parser.add_argument(
        "--to", choices=("corrlight", "mmdetection"), default="corrlight", help="whose names"
    )
    parser.add_argument(
        "--version", choices=("2.x", "3.x"), default="3.x", help="of mmdetection's names"
    )
    parser.add_argument(
        "--annotations", type=Path, metavar="FILE",
        help="COCO annotations whose categories the classes are reordered to",
    )  # fmt: skip
    parser.add_argument(
        "--list", action="store_true", help="name every tensor that is left over or missing"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="options, such as backbone=resnet101"
    )
    return parser.parse_intermixed_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Convert what the command line names and print the report; return the exit code.

    Args:
        argv: The arguments after ``convert``.

    Returns:
        0 when the file was written, 1 when something required is missing or of another shape, 2
        when the input is unusable (one line on stderr).
    """
    return guarded(_options, argv, _convert, reader_may_leave=True)


def _convert(options: argparse.Namespace) -> int:
    # torch: --help and wrong options do not wait for it.
    from corrlight.convert.conversion import convert_checkpoint

    conversion = convert_checkpoint(
        options.source,
        options.destination,
        detector=options.detector,
        backbone=options.backbone,
        to=options.to,
        version=options.version,
        annotations=options.annotations,
        overrides=options.overrides,
    )
    stream = sys.stdout if conversion.complete else sys.stderr
    few = len(conversion.missing) + len(conversion.misshaped) + len(conversion.unmatched) <= _FEW
    if conversion.complete or options.list:
        lines = list(conversion.lines())
        if not (few or options.list):  # Of a network that is a part of the source's.
            lines = [line for line in lines if not line.startswith("  ")]
    else:
        how = "" if few else "; --list names all of them, and another --detector may fit"
        lines = [f"error: {conversion.summary()}{how}"]
    for line in lines:
        print(line, file=stream)
    return 0 if conversion.complete else _INCOMPLETE
