"""``corrlight data import`` and ``corrlight data split``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from corrlight.commands.parsing import Parser, guarded
from corrlight.commands.progress import Progress

if TYPE_CHECKING:
    from corrlight.datasets.assembly import Dataset
    from corrlight.datasets.records import Ledger, Picture

__all__ = ["import_main", "split_main"]

_FORMATS = {
    "voc": "Annotations/*.xml, JPEGImages/ and ImageSets/Main/*.txt, or XML beside the pictures",
    "yolo": "data.yaml or its folder; a folder with classes.txt",
    "labelme": "a folder of JSON files",
    "labelstudio": "the JSON export (--images for the pictures)",
    "cvat": "annotations.xml of CVAT for images 1.1 or its folder",
    "coco": "a JSON file or a folder: COCO's, Roboflow's, LVIS's",
}
_SHOWN = 20


def import_main(argv: Sequence[str]) -> int:
    """Import what the command line names and print a summary; return the exit code.

    Args:
        argv: The arguments after ``import``.

    Returns:
        0, 2 if the input is wrong or the output cannot be written (nothing is), 130 if stopped.
    """
    parser = Parser(
        prog="corrlight data import",
        description="Bring annotated pictures into the layout of data=coco_custom: "
        "annotations/{train,val,test}.json and the pictures in train/, val/ and test/.",
        epilog="formats:\n"
        + "\n".join(f"  {name:<12} {text}" for name, text in _FORMATS.items())
        + "\n\nEverything that is left out, changed or assumed is counted in the summary. OUT "
        "appears\ncomplete or not at all. docs/own_data.md has the rules of each format.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("format", choices=_FORMATS, metavar="FORMAT", help="one of those below")
    parser.add_argument(
        "source", nargs="+", metavar="SOURCE",
        help="file or folder; train=PATH, val=PATH or test=PATH says which split it is",
    )  # fmt: skip
    add = parser.add_argument
    add("--images", type=Path, metavar="DIR", help="where the pictures are, if not in SOURCE")
    add(
        "--classes", metavar="A,B|FILE",
        help="all class names in order (or a file, one a line); objects of others are left out",
    )  # fmt: skip
    add("--zero-based", action="store_true", help="voc: corners are edges counted from 0")
    add(
        "--difficult", choices=("keep", "crowd", "drop"), default="keep",
        help="objects marked as difficult: keep (default), ignore as crowds, or leave out",
    )  # fmt: skip
    add("--clip", action="store_true", help="cut boxes at the border of the picture")
    add("--labelled-only", action="store_true", help="leave pictures without annotations out")
    add("--ignore-size", action="store_true", help="trust pictures where annotated sizes differ")
    add("--skip-broken", action="store_true", help="leave records that cannot be read out")
    _add_common(parser)
    parser.set_defaults(command="import")
    return guarded(parser.parse_args, argv, _run, reader_may_leave=True)


def split_main(argv: Sequence[str]) -> int:
    """Divide a COCO-format folder and print a summary; return the exit code.

    Args:
        argv: The arguments after ``split``.

    Returns:
        As :func:`import_main`.
    """
    parser = Parser(
        prog="corrlight data split",
        description="Copy a folder of data=coco_custom that has training pictures alone, with a "
        "share of them as validation (or test) pictures, stratified by class.",
        epilog="The same seed and names give the same pictures on every machine.",
    )
    parser.add_argument("source", nargs=1, metavar="ROOT", help="the folder; it stays as it is")
    _add_common(parser)
    parser.set_defaults(
        command="split", format="coco", images=None, classes=None, zero_based=False,
        difficult="keep", clip=False, labelled_only=False, ignore_size=False, skip_broken=False,
    )  # fmt: skip
    return guarded(parser.parse_args, argv, _run, reader_may_leave=True)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="OUT", help="the folder to make")
    add("--val", type=_share, default=0.0, metavar="SHARE", help="of train that becomes val")
    add("--test", type=_share, default=0.0, metavar="SHARE", help="of train that becomes test")
    add("--seed", type=int, default=0, metavar="N", help="of the draw (default 0)")
    add(
        "--splits", metavar="OURS=THEIRS,...",
        help="splits of the source to take, as in train=trainval,val=test or train=train+val",
    )  # fmt: skip
    add("--link", action="store_true", help="hard links to the pictures instead of copies")


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"Expected a share such as 0.2, but got '{text}'.")
    return value


def _run(options: argparse.Namespace) -> int:
    if options.val + options.test >= 1:
        raise ValueError("Expected --val and --test that leave something to train on.")
    if options.command == "split" and not options.val + options.test:
        raise ValueError("Expected --val or --test, the share of the pictures.")
    if options.zero_based and options.format != "voc":
        raise ValueError("Expected --zero-based with voc alone.")
    _import(options)
    return 0


def _import(options: argparse.Namespace) -> None:
    # numpy, Pillow and pycocotools: --help does not wait for them.
    from corrlight.atomic import check_new_folder
    from corrlight.datasets.assembly import assemble
    from corrlight.datasets.importers import READERS
    from corrlight.datasets.records import Ledger, ReadOptions
    from corrlight.datasets.splitting import parse_splits
    from corrlight.datasets.unused import count_unused
    from corrlight.datasets.writing import write

    check_new_folder(options.out, "--out")
    classes = _classes(options.classes)
    splits = parse_splits(options.splits) if options.splits else None
    if options.images is not None and not options.images.is_dir():
        raise ValueError(f"Expected `--images` to be a folder, but got {options.images}.")
    ledger = Ledger()
    reading = ReadOptions(
        images=options.images,
        classes=classes,
        zero_based=options.zero_based,
        ignore_size=options.ignore_size,
    )
    contents, sources = [], []
    for text in options.source:
        split, path = _source(text)
        sources.append(path)
        content = READERS[options.format](path, ledger, reading)
        if split:
            for picture in content.pictures:
                picture.splits = frozenset([split])
        contents.append(content)
    if not options.skip_broken:
        _check_problems(ledger, False)  # Before what follows from them: no objects, no classes.
    count_unused(sources, options.images, contents, ledger)
    read = _counted(p for content in contents for p in content.pictures)
    dataset = assemble(
        contents,
        ledger,
        splits=splits,
        val=options.val,
        test=options.test,
        seed=options.seed,
        classes=classes,
        difficult=options.difficult,
        clip=options.clip,
        labelled_only=options.labelled_only,
    )
    _check_problems(ledger, options.skip_broken)
    number = sum(map(len, dataset.splits.values()))
    with Progress("pictures written", number) as progress:
        write(dataset, options.out, link=options.link, step=progress.advance)
    for name, text in _summary(options, read, dataset, ledger):
        print(f"{name:<9} {text}" if text else name)


def _source(text: str) -> tuple[str, Path]:
    split, equals, rest = text.partition("=")
    if not equals or split not in ("train", "val", "test"):
        split, rest = "", text
    path = Path(rest)
    if not path.exists():
        raise ValueError(f"Expected `SOURCE` to be a file or folder, but {path} does not exist.")
    return split, path


def _classes(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    names = text.split(",")
    if Path(text).is_file():
        names = Path(text).read_text("utf-8-sig").splitlines()
    names = [name.strip() for name in names if name.strip()]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"Expected `--classes` to be names that differ, but got {text!r}.")
    return tuple(names)


def _check_problems(ledger: Ledger, skip: bool) -> None:
    """Count the broken records as left out, or raise after naming the first of them."""
    if not ledger.problems:
        return
    if skip:
        first, count = ledger.problems[0], len(ledger.problems)
        ledger.drop("records that cannot be read (--skip-broken)", first, count)
        return
    for line in ledger.problems[:_SHOWN]:
        print(" ".join(line.split()), file=sys.stderr)
    count = len(ledger.problems)
    if count > _SHOWN:
        print(f"and {count - _SHOWN:,} more", file=sys.stderr)
    raise ValueError(
        f"Expected records that can be read, but {count:,} cannot (--skip-broken leaves them out)."
    )


def _counted(pictures: Iterable[Picture]) -> str:
    members = list(pictures)
    objects = sum(len(p.annotations) for p in members)
    return f"{len(members):,} pictures, {objects:,} objects"


def _summary(
    options: argparse.Namespace, read: str, dataset: Dataset, ledger: Ledger
) -> Iterator[tuple[str, str]]:
    yield "read", f"{options.format} {' '.join(options.source)}: {read}"
    for split, pictures in dataset.splits.items():
        empty = sum(not p.annotations for p in pictures)
        text = _counted(pictures) + (f", {empty:,} without objects" if empty else "")
        theirs = "+".join(dataset.origin.get(split, []))
        made = "drawn, stratified by class" if (options.val or options.test) else ""
        note = f" ({theirs})" if theirs not in ("", split) else ""
        yield split, text + (f" ({made}, seed {options.seed})" if made and not theirs else note)
    annotations = [a for ps in dataset.splits.values() for p in ps for a in p.annotations]
    counts = Counter(a.label for a in annotations)
    shown = [f"{record['name']} {counts[record['name']]:,}" for record in dataset.categories]
    more = f", ... {len(shown) - _SHOWN:,} more" if len(shown) > _SHOWN else ""
    yield "classes", f"{len(shown)}: {', '.join(shown[:_SHOWN])}{more}"
    masks = sum(a.shape.segmentation is not None for a in annotations)
    if masks:
        yield "masks", f"{masks:,} of {len(annotations):,} objects have one"
    for title, tallies in (("left out", ledger.left_out), ("changed", ledger.changed)):
        for reason, tally in tallies.items():
            first = f"first: {tally.first}" if tally.count > 1 else tally.first
            yield title, f"{tally.count:,} {reason} ({first})"
    for note in ledger.notes:
        yield "note", note
    yield "written", str(options.out)
    root = shlex.quote(str(options.out))
    if not dataset.splits.get("val"):
        again = f"corrlight data split {root} --val 0.2 --seed 0 --out {root}_split"
        yield "next", f"there are no validation pictures: {again}"
    else:
        yield "next", f"corrlight train detector=atss_small data=coco_custom data.root={root}"
