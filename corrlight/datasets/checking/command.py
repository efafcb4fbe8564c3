"""``corrlight data check``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from corrlight.commands.parsing import Parser, guarded

if TYPE_CHECKING:
    from corrlight.datasets.checking.check import SetCheck

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
        "With --fix it is that of the mended copy. Nothing is ever changed in place.",
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
    add("--fix", type=Path, metavar="OUT", help="write a mended copy of the set to this new folder")
    add("--link", action="store_true", help="with --fix: hard links to the pictures, no copies")
    add("--report", type=Path, metavar="FILE", help="write an HTML page with plots as well")
    return guarded(parser.parse_args, argv, _check, reader_may_leave=True)


def _check(options: argparse.Namespace) -> int:
    # numpy, Pillow and pycocotools: --help does not wait for them.
    from corrlight.arguments import check_at_least
    from corrlight.atomic import check_new_folder, write_text
    from corrlight.datasets.checking.check import check_set
    from corrlight.datasets.checking.text import as_text

    check_at_least(0, examples=options.examples)
    check_at_least(1, size=1 if options.size is None else options.size)
    if options.images is not None and not options.images.is_dir():
        raise ValueError(f"Expected `--images` to be a folder, but got {options.images}.")
    if options.fix is not None:
        check_new_folder(options.fix, "--fix")
    elif options.link:
        raise ValueError("Expected --link with --fix alone.")
    if options.report is not None and options.report.is_dir():
        raise ValueError(f"Expected `--report` to be a file, but {options.report} is a folder.")
    found = check_set(
        options.sources,
        images=options.images,
        decode=options.decode,
        detector=options.detector,
        size=options.size,
    )
    print(as_text(found, options.examples))
    if options.report is not None:
        from corrlight.datasets.checking.report import report_page

        title = f"Check of {' '.join(map(str, options.sources))}"
        write_text(options.report, report_page(found, title))
        print(f"written  {options.report}")
    if options.fix is not None:
        return _fix(options, found)
    return int(found.count("error") > 0)


def _fix(options: argparse.Namespace, found: SetCheck) -> int:
    """Write a mended copy, say what was changed and what is left; return the exit code."""
    from corrlight.commands.progress import Progress
    from corrlight.datasets.checking.check import check_set
    from corrlight.datasets.checking.mended_set import mend_set, write_mended
    from corrlight.datasets.checking.text import problem_lines
    from corrlight.datasets.records import Ledger

    ledger = Ledger()
    mended = mend_set(found.splits, ledger)
    number = sum(len(split.paths) for split in mended)
    with Progress("pictures written", number) as progress:
        write_mended(mended, options.fix, options.link, progress.advance)
    print()
    for title, tallies in (("left out", ledger.left_out), ("changed", ledger.changed)):
        for reason, tally in tallies.items():
            first = f"first: {tally.first}" if tally.count > 1 else tally.first
            print(f"{title:<8} {tally.count:,} {reason} ({first})")
    if not ledger.left_out and not ledger.changed:
        print("changed  nothing")
    print(f"written  {options.fix}")
    after = check_set([options.fix], detector=options.detector, size=options.size)
    left = [problem for problem in after.problems if problem.level == "error"]
    for problem in left:
        print()
        print("\n".join(problem_lines(problem, options.examples)))
    if left:
        return 1
    print(f"next     corrlight data show {options.fix} --out {options.fix}.html")
    return 0
