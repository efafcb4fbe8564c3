"""Picture files: found by the names that annotation files give them, and their size."""

from __future__ import annotations

import io
import os
import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from corrlight.datasets.records import Ledger, RecordError
from corrlight.picture_files import is_picture, upright_size

__all__ = ["PictureIndex", "picture_frame", "split_name", "split_of_path", "walk"]

Size = tuple[int, int]

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    # Darknet's folders, as CVAT writes them.
    "obj_train_data": "train",
    "obj_valid_data": "val",
    "obj_test_data": "test",
}


def split_name(text: str) -> str | None:
    """Return the split that a name such as "Validation" or "train2017" means, or None."""
    return _SPLITS.get(re.sub(r"\d+$", "", text.lower()))


def split_of_path(path: Path, root: Path) -> frozenset[str]:
    """Return the split that a folder between ``root`` and a file names, as a set of at most one."""
    names = [split_name(part) for part in path.relative_to(root).parts[:-1]]
    return frozenset(next(([n] for n in names if n), []))


def walk(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, sorted; hidden ones and loops of links are left out."""
    seen: set[str] = set()
    for base, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(base)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__MACOSX")
        yield from (Path(base, f) for f in sorted(files) if not f.startswith("."))


class PictureIndex:
    """The pictures below some folders.

    Args:
        folder: Where to look.

    Attributes:
        folder: The same.
        paths: The pictures, sorted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = [p for p in walk(folder) if is_picture(p.name)]
        self._names: dict[str, list[Path]] = defaultdict(list)
        self._stems: dict[str, list[Path]] = defaultdict(list)
        for path in self.paths:
            self._names[path.name.casefold()].append(path)
            # Folders of masks beside the pictures of Pascal VOC.
            if not path.parent.name.startswith("Segmentation"):
                self._stems[path.stem.casefold()].append(path)

    def find(self, name: str, *, split: str = "", near: Path | None = None) -> Path:
        r"""Return the picture that a file name or path of another machine means.

        Of several files of that name it is the one whose folders agree longest, then one in a
        folder of the split, then the nearest.

        Args:
            name: The name, with ``/`` or ``\``.
            split: Where its annotations belong.
            near: Another file that it belongs to.

        Raises:
            RecordError: There is none, or there are several.
        """
        return self._best(self._names.get(_parts(name)[-1], []), name, split, near)

    def find_stem(self, stem: str, name: str, near: Path) -> Path:
        """Return the picture called as its annotation file; of several the one called ``name``.

        Raises:
            RecordError: There is none, or there are several.
        """
        candidates = self._stems.get(stem.casefold(), [])
        named = [p for p in candidates if p.name.casefold() == _parts(name)[-1]]
        return self._best(named or candidates, stem, "", near)

    def _best(self, candidates: list[Path], name: str, split: str, near: Path | None) -> Path:
        if not candidates:
            raise RecordError(f"there is no picture {name!r} in {self.folder} (--images)")
        parts = _parts(name)

        def rank(path: Path) -> tuple[int, bool, int]:
            folders = path.parent.parts
            in_split = bool(split) and any(split_name(f) == split for f in folders)
            files = [os.path.abspath(p) for p in (path, near or path)]
            shared = os.path.commonpath(files) if near is not None else ""
            return _agreement(_parts(str(path)), parts), in_split, len(Path(shared).parts)

        ranked = sorted(candidates, key=rank, reverse=True)
        if len(ranked) > 1 and rank(ranked[0]) == rank(ranked[1]):
            raise RecordError(f"{name!r} may be {ranked[0]} or {ranked[1]} (--images)")
        return ranked[0]


def _parts(name: str) -> list[str]:
    parts = [p for p in re.split(r"[/\\]+", name.casefold()) if p not in ("", ".")]
    return parts or [""]


def _agreement(path: list[str], name: list[str]) -> int:
    count = 0
    for a, b in zip(reversed(path), reversed(name), strict=False):
        if a != b:
            break
        count += 1
    return count


def picture_frame(
    path: Path,
    declared: Size | None,
    ledger: Ledger,
    *,
    ignore_size: bool = False,
    content: bytes | None = None,
) -> Size:
    """Return height and width of the frame that the boxes of a picture refer to.

    It is the picture's size after EXIF orientation unless the annotations declare the stored one;
    training decodes the picture to whichever is said here.

    Args:
        path: The picture.
        declared: What the annotations say; None or zeros if nothing.
        ledger: Where sizes that were not declared are counted.
        ignore_size: Whether a declared size that disagrees is ignored.
        content: The bytes of a picture that lies inside of ``path``.

    Raises:
        RecordError: The picture cannot be read, or has another size.
    """
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as image:
            stored = (image.height, image.width)
            if declared == stored:
                return stored  # Before the orientation: for that a whole PNG may be decoded.
            upright = upright_size(image)
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "it is no picture"
        raise RecordError(f"{path} cannot be read ({reason})") from None
    if declared is None or declared == upright:
        return upright
    if not all(declared):
        ledger.change("sizes of 0 in the annotations replaced by the picture's", path)
        return upright
    if ignore_size:
        ledger.change("sizes in the annotations that differ from the picture's ignored", path)
        return upright
    raise RecordError(
        f"annotated as {declared[1]}x{declared[0]}, but {path.name} is {upright[1]}x{upright[0]} "
        "(--ignore-size if the picture is right)"
    )
