"""``corrlight data show``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from corrlight.commands.parsing import Parser, guarded

__all__ = ["show_main"]


def show_main(argv: Sequence[str]) -> int:
    """Write the page that the command line asks for; return the exit code.

    Args:
        argv: The arguments after ``show``.

    Returns:
        0, 2 if the command is wrong or the page cannot be written (nothing is), 130 if stopped.
    """
    parser = Parser(
        prog="corrlight data show",
        description="One HTML page with pictures, their boxes, masks and class names: by class, "
        "the smallest and largest objects, the crowded and the empty pictures.",
        epilog="Pictures are inside of the page: it can be moved and sent as it is.",
    )
    add = parser.add_argument
    add(
        "sources", nargs="+", type=Path, metavar="ROOT|FILE",
        help="a folder as data=coco_custom takes it, or COCO annotation files",
    )  # fmt: skip
    add("--out", type=Path, required=True, metavar="FILE.html", help="the page to write")
    add("--images", type=Path, metavar="DIR", help="pictures of a FILE, if they are not near it")
    add("--split", metavar="NAME", help="this split alone: train, val or test")
    add("--limit", type=int, default=48, metavar="N", help="pictures a section (default 48)")
    add("--size", type=int, default=320, metavar="PIXELS", help="of a picture (default 320)")
    add("--seed", type=int, default=0, metavar="N", help="of the draw by class (default 0)")
    return guarded(parser.parse_args, argv, _show, reader_may_leave=True)


def _show(options: argparse.Namespace) -> int:
    # numpy, Pillow and pycocotools: --help does not wait for them.
    from corrlight.arguments import check_at_least
    from corrlight.atomic import write_text
    from corrlight.coco.annotation_file.table import read_annotations
    from corrlight.commands.progress import Progress
    from corrlight.datasets.checking.splits import find_splits, folder_for
    from corrlight.datasets.showing.choosing import sections
    from corrlight.datasets.showing.page import show_page

    check_at_least(1, limit=options.limit)
    check_at_least(32, size=options.size)
    check_at_least(0, seed=options.seed)
    if options.out.is_dir():
        raise ValueError(f"Expected `--out` to be a file, but {options.out} is a folder.")
    splits, problems = find_splits(options.sources, options.images)
    for problem in problems:
        if problem.kind != "no_split":
            print(f"{problem.where}: {problem.text}", file=sys.stderr)
    names = [split.name for split in splits]
    if options.split is not None and options.split not in names:
        has = ", ".join(names) or "none"
        raise ValueError(f"Expected `--split` to be one of {has}, but got {options.split!r}.")
    tables, folders = {}, {}
    for split in splits:
        if options.split in (None, split.name):
            table = read_annotations(split.path, keep_masks=True)
            if "no_coco" in table.findings:
                raise table.findings["no_coco"].error()
            folder = split.folder or folder_for(split.path, table.file_names)
            if folder is None:
                raise ValueError(
                    f"Expected the pictures of {split.path} near it, but found none "
                    "(--images DIR names their folder)."
                )
            tables[split.name], folders[split.name] = table, folder
    chosen = sections(tables, options.limit, options.seed)
    title = f"Pictures of {' '.join(map(str, options.sources))}"
    number = sum(len(section.views) for section in chosen)
    with Progress("pictures drawn", number) as progress:
        page = show_page(title, tables, folders, chosen, options.size, progress.advance)
    write_text(options.out, page)
    print(f"written  {options.out}: {number:,} pictures, {len(page) / 1e6:.1f} MB")
    return 0
