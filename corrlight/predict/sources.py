"""What a command line names: pictures and videos, folders, patterns, a list on standard input."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corrlight.picture_files import PICTURE_SUFFIXES, is_picture
from corrlight.predict.video import VIDEO_SUFFIXES, is_video

__all__ = ["Source", "find_sources"]


@dataclass(frozen=True, slots=True)
class Source:
    """A picture to be read.

    Attributes:
        path: Where it is, as it was named.
        name: Relative to the folder that was named, with "/"; unique among the sources.
        frame: Of a video, the frame's number from 0.
        seconds: Of a video, when the frame is shown, or None where the file does not say.
    """

    path: Path
    name: str
    frame: int | None = None
    seconds: float | None = None


def find_sources(named: Sequence[str], listed: Iterable[str] = ()) -> tuple[list[Source], int]:
    """Return the pictures that ``named`` means, each once, and how many other files lie there.

    Folders are read with those inside, in the order of the names; hidden files are left out.

    Args:
        named: Files, folders, patterns such as ``shots/*.jpg`` or ``shots/**/*.png``, and "-" for
            the paths in ``listed``.
        listed: Lines with one path each.

    Raises:
        ValueError: One of them means no picture, or a picture has no file name.
    """
    found: list[Source] = []
    others = 0
    for text in named:
        own = list(_of(text, listed))
        pictures = [source for source in own if source is not None]
        if not pictures:
            raise ValueError(_nothing(text))
        found += pictures
        others += len(own) - len(pictures)
    unique = list({os.path.abspath(source.path): source for source in found}.values())
    if len({source.name for source in unique}) < len(unique):
        # The same name in two folders: those of all of them tell which is which.
        unique = [replace(s, name=_whole_name(s.path)) for s in unique]
    return unique, others


def _is_source(path: Path) -> bool:
    """Whether a file of a folder or pattern is read; one that is named may be called anything."""
    return is_picture(path.name) or is_video(path)


def _of(text: str, listed: Iterable[str]) -> Iterator[Source | None]:
    if text == "-":
        paths = [Path(line.strip()) for line in listed if line.strip()]
        yield from (Source(path, path.name) for path in paths)
        return
    path = Path(text)
    if not text:
        return
    if path.is_dir():
        yield from _of_folder(path)
    elif path.exists():
        yield Source(path, path.name)
    elif glob.has_magic(text):
        for match in map(Path, sorted(glob.glob(text, recursive=True))):
            if match.is_dir():
                # With `**` its files are matches themselves.
                if "**" not in text:
                    yield from _of_folder(match)
            elif _is_source(match):
                yield Source(match, match.name)
            else:
                yield None


def _of_folder(folder: Path) -> Iterator[Source | None]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            path = Path(where, name)
            if _is_source(path):
                yield Source(path, path.relative_to(folder).as_posix())
            else:
                yield None


def _whole_name(path: Path) -> str:
    """Return the absolute path without its beginning: never above the folder it is written to."""
    absolute = Path(os.path.abspath(path))
    return absolute.relative_to(absolute.anchor).as_posix()


def _nothing(text: str) -> str:
    if text == "-":
        return "Expected paths of pictures on standard input, one a line, but got none."
    if text and Path(text).is_dir():
        suffixes = ", ".join((*PICTURE_SUFFIXES, *VIDEO_SUFFIXES))
        return f"Expected a folder with pictures or videos ({suffixes}), but {text} has none."
    if glob.has_magic(text):
        return f"Expected a pattern that pictures match, but none matches '{text}'."
    return f"Expected a picture, a folder or a pattern, but there is no '{text}'."
