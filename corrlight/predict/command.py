"""``corrlight predict``: a trained run on pictures of any number."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corrlight.arguments import check_at_least, check_share
from corrlight.atomic import atomic_folder, check_writable
from corrlight.commands.parsing import Parser, discard_output, guarded
from corrlight.predict.sources import Source, find_sources
from corrlight.predict.video import Clip, check_av, is_video, read_frames, write_clip
from corrlight.runs.ending import FAILED

if TYPE_CHECKING:
    import numpy.typing as npt

    from corrlight.predict.model import Model
    from corrlight.predict.output import Wanted

__all__ = ["main"]

# What every folder of predictions has; only such a one is ever replaced.
_FILES = ("predictions.json", "images.json")
# Of unreadable pictures so many are named on the terminal; images.json names all.
_NAMED = 10
_DRAWN = 0.3


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="corrlight predict",
        description="Find objects in pictures with a trained run: COCO results, and one picture "
        "each with boxes, masks, names and scores.",
        epilog="Exit code 0: done; 1: done, but some pictures cannot be read (images.json names "
        "them under 'skipped'); 2: unusable input, nothing written; 130: stopped, nothing "
        "written. docs/after_training.md has examples.",
    )
    parser.add_argument(
        "source", nargs="+", metavar="SOURCE",
        help="pictures, videos (the extra corrlight[video]), folders, "
        "patterns such as 'shots/*.jpg', or - for a list of paths on standard input",
    )  # fmt: skip
    parser.add_argument(
        "--run", required=True, metavar="RUN",
        help="a run folder (its best checkpoint, else the last), or one of its checkpoints",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder to make")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an earlier folder of predictions"
    )
    parser.add_argument(
        "--score-threshold", type=float, metavar="T",
        help="leave out what scores less; without it files hold everything, as mode=test writes "
        f"it, and pictures what scores at least {_DRAWN}",
    )  # fmt: skip
    parser.add_argument(
        "--batch", type=int, metavar="N", help="pictures at a time; default as in the evaluation"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps; default auto")
    parser.add_argument(
        "--no-pictures",
        action="store_true",
        help="write no pictures, and no annotated clips of videos (videos/)",
    )
    parser.add_argument("--csv", action="store_true", help="also write predictions.csv")
    parser.add_argument("--crops", action="store_true", help="also cut out every detection")
    parser.add_argument(
        "--allow-unreadable", action="store_true", help="exit code 0 with unreadable pictures too"
    )
    parser.add_argument(
        "--allow-targets", action="append", default=[], metavar="MODULE",
        help="module of your own that the run's parts come from",
    )  # fmt: skip
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Predict what the command line names; return the exit code (``--help`` lists them)."""
    return guarded(_options, argv, _predict)


def _predict(options: argparse.Namespace) -> int:
    # What needs no torch is checked first.
    threshold = options.score_threshold
    if threshold is not None:
        check_share(score_threshold=threshold)
    if options.batch is not None:
        check_at_least(1, batch=options.batch)
    if not Path(options.run).exists():
        raise FileNotFoundError(f"Expected a run folder or a checkpoint: there is no {options.run}")
    sources, others = find_sources(options.source, sys.stdin)
    _check_out(options.out, options.overwrite, sources)
    sources = _readable(sources, options.source)
    if others:
        print(f"{others:,} other files are no pictures by their names.", file=sys.stderr)

    from corrlight.ops.allocator import keep_freed_memory
    from corrlight.ops.switch import set_fast_cpu
    from corrlight.predict.load import load
    from corrlight.predict.output import Wanted

    model = load(options.run, options.device, options.allow_targets)
    set_fast_cpu(bool(model.config.get("fast_cpu", True)))
    keep_freed_memory()
    wanted = Wanted(
        pictures=not options.no_pictures,
        csv=options.csv,
        crops=options.crops,
        file_threshold=0.0 if threshold is None else threshold,
        picture_threshold=_DRAWN if threshold is None else threshold,
    )
    try:
        with _new_or_replaced(options.out, options.overwrite) as folder:
            summary, skipped = _write(model, sources, folder, wanted, options)
    except (RuntimeError, MemoryError) as error:
        from corrlight.engine.faults.memory import is_shortage

        if not is_shortage(error):
            raise
        count = options.batch or model.batch_size
        fewer = f"--batch {count // 2}" if count > 1 else "smaller pictures"
        raise ValueError(
            f"Out of memory on {model.device} with {count} pictures at a time: try {fewer}, or "
            "another --device."
        ) from error
    # The folder has its name by now: whoever reads this may stop reading (``... | head -1``).
    try:
        print("\n".join(summary), flush=True)
    except BrokenPipeError:
        discard_output()
    for item in skipped[:_NAMED]:
        print(f"skipped: {item['reason']}", file=sys.stderr)
    if len(skipped) > _NAMED:
        print(f"skipped: {len(skipped) - _NAMED:,} more (images.json)", file=sys.stderr)
    return FAILED if skipped and not options.allow_unreadable else 0


def _write(
    model: Model,
    sources: Sequence[Source],
    folder: Path,
    wanted: Wanted,
    options: argparse.Namespace,
) -> tuple[list[str], list[dict[str, str]]]:
    """Write all predictions; return what was found, in words, and what cannot be read."""
    from corrlight import __version__
    from corrlight.commands.progress import Progress
    from corrlight.predict.model import Unreadable
    from corrlight.predict.output import open_writer

    classes = zip(model.category_ids, model.class_names, strict=True)
    info = {"corrlight": __version__, "checkpoint": str(model.checkpoint)}
    skipped: list[dict[str, str]] = []
    read, started = 0, time.perf_counter()
    with open_writer(folder, wanted, model.class_names) as writer:
        writer.begin(info, [{"id": k, "name": name} for k, name in classes])
        waiting: deque[Source] = deque()
        clips: dict[str, Clip] = {}
        videos = any(is_video(source.path) for source in sources)
        with Progress("pictures", None if videos else len(sources)) as progress:
            stream = model.stream(_pictures(sources, waiting, skipped), options.batch)
            for found in stream:
                source = waiting.popleft()
                if isinstance(found, Unreadable):
                    skipped.append({"file_name": source.name, "reason": found.reason})
                else:
                    read += 1
                    writer.add(found.index + 1, source, found.pixels, found.prediction)
                    if source.frame is not None:
                        height, width = found.prediction.size
                        name = source.name.rpartition("/")[0]
                        clip = Clip(video=source.path, name=name, size=(width, height))
                        drawn = (source.frame, folder / "pictures" / source.name)
                        clips.setdefault(name, clip).pictures.append(drawn)
                progress.advance()
        writer.end(skipped)
        for clip in clips.values() if wanted.pictures else ():
            write_clip(clip, folder / "videos" / f"{clip.name}.mp4")
    seconds = time.perf_counter() - started
    summary = [
        f"{read:,} pictures, {writer.num_detections:,} detections, "
        f"{read / max(seconds, 1e-9):.1f} pictures a second, {model.checkpoint}",
        f"{options.out}: {', '.join(_contents(folder))}",
    ]
    return summary, skipped


def _readable(sources: list[Source], named: Sequence[str]) -> list[Source]:
    """Return what can be read: without PyAV, videos that lie among pictures are left out.

    Raises:
        ValueError: PyAV is missing, and a video is named or there is nothing else.
    """
    videos = [source.path for source in sources if is_video(source.path)]
    if not videos or importlib.util.find_spec("av") is not None:
        return sources
    asked_for = {Path(text) for text in named}
    wanted = [path for path in videos if path in asked_for]
    if wanted or len(videos) == len(sources):
        check_av((wanted or videos)[0])
    print(
        f"Videos left out: {len(videos):,}. pip install 'corrlight[video]' reads them.",
        file=sys.stderr,
    )
    return [source for source in sources if not is_video(source.path)]


def _pictures(
    sources: Sequence[Source], waiting: deque[Source], skipped: list[dict[str, str]]
) -> Iterator[Path | npt.NDArray[Any]]:
    """Yield what a model reads, and put where each comes from into ``waiting``."""
    for source in sources:
        if not is_video(source.path):
            waiting.append(source)
            yield source.path
            continue
        lost, frames = 0, 0
        try:
            for frame in read_frames(source.path):
                frames += 1
                if frame.pixels is None:
                    lost += 1
                    continue
                name = f"{source.name}/{frame.number:06d}.jpg"
                waiting.append(Source(source.path, name, frame.number, frame.seconds))
                yield frame.pixels
        except ValueError as error:
            skipped.append({"file_name": source.name, "reason": str(error)})
        if lost:
            reason = f"{lost:,} of {frames:,} frames of {source.path} cannot be read"
            skipped.append({"file_name": source.name, "reason": reason})


def _contents(folder: Path) -> list[str]:
    more = ("predictions.csv", "pictures/", "crops/", "videos/")
    return [*_FILES, *(name for name in more if (folder / name).exists())]


def _check_out(out: Path, overwrite: bool, sources: Sequence[Source]) -> None:
    """Raise ``ValueError`` or ``OSError`` unless ``out`` may be made, or replaced."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ValueError(f"Expected `--out` to be a folder, but {out} is something else.")
    check_writable(out, "--out")
    if not out.exists() or not any(out.iterdir()):
        return
    if not overwrite:
        raise ValueError(
            f"Expected `--out` to be new or empty, but {out} is neither; --overwrite replaces "
            "earlier predictions."
        )
    if not all((out / name).is_file() for name in _FILES):
        raise ValueError(
            f"Expected `--overwrite` to replace earlier predictions, but {out} holds no "
            f"{' and '.join(_FILES)}: nothing is deleted."
        )
    whole = Path(os.path.realpath(out))
    inside = [s.path for s in sources if Path(os.path.realpath(s.path)).is_relative_to(whole)]
    if inside:
        raise ValueError(
            f"Expected `--overwrite` to replace a folder without the pictures themselves, but "
            f"{inside[0]} lies in {out}."
        )


@contextmanager
def _new_or_replaced(out: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``out``; an earlier one stays until that moment."""
    if not (overwrite and out.exists() and any(out.iterdir())):
        with atomic_folder(out) as folder:
            yield folder
        return
    old = out.absolute().with_name(f".{out.absolute().name}.{os.getpid()}.old")
    made = out.absolute().with_name(f".{out.absolute().name}.{os.getpid()}.new")
    try:
        with atomic_folder(made) as folder:
            yield folder
        try:
            out.absolute().rename(old)
            made.rename(out.absolute())
        except BaseException:
            if old.exists() and not out.exists():
                old.rename(out.absolute())
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
