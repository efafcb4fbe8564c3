"""``corrlight data check``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from corrlight.datasets.parsing import Parser, guarded

__all__ = ["check_main"]


def check_main(argv: Sequence[str]) -> int:
    """Check what the command line names and print what was found; return the exit code.

    Args:
        argv: The arguments after ``check``.

    Returns:
        0 with warnings alone, 1 with errors in the set, 2 if the command is wrong or a file cannot
        be written, 130 if stopped.
    """
    parser = Parser(
        prog="corrlight data check",
        description="Every problem of a set in one pass, worst first, with what mends it.",
        epilog="Exit code: 0 if there are warnings alone, 1 with errors, 2 for a wrong command.\n"
        "Nothing is ever changed in place.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "sources", nargs="+", type=Path, metavar="ROOT|FILE",
        help="a folder as data=coco_custom takes it, or COCO annotation files",
    )  # fmt: skip
    add("--images", type=Path, metavar="DIR", help="pictures of a FILE, if they are not near it")
    add("--decode", action="store_true", help="decode every picture and every mask")
    add("--examples", type=int, default=3, metavar="N", help="records shown a problem (default 3)")
    add(
        "--detector", default="atss_small", metavar="NAME",
        help="whose anchors are compared with the objects (default atss_small)",
    )  # fmt: skip
    add("--size", type=int, metavar="PIXELS", help="data.size of the training")
    return guarded(parser, argv, _check)


def _check(options: argparse.Namespace) -> int:
    # numpy, Pillow and pycocotools: --help does not wait for them.
    from corrlight.arguments import check_at_least
    from corrlight.datasets.checking.check import check_set
    from corrlight.datasets.checking.text import as_text

    check_at_least(0, examples=options.examples)
    check_at_least(1, size=1 if options.size is None else options.size)
    if options.images is not None and not options.images.is_dir():
        raise ValueError(f"Expected `--images` to be a folder, but got {options.images}.")
    found = check_set(
        options.sources,
        images=options.images,
        decode=options.decode,
        detector=options.detector,
        size=options.size,
    )
    print(as_text(found, options.examples))
    return int(found.count("error") > 0)
