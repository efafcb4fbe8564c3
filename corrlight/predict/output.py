"""The folder of predictions, written picture by picture."""

from __future__ import annotations

import csv
import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from corrlight.predict.prediction import Prediction
from corrlight.predict.sources import Source
from corrlight.reporting.labelled import draw_labelled

__all__ = ["Wanted", "Writer", "open_writer"]

# Threads that draw and compress, and pictures that wait for them.
_DRAWERS, _WAITING = 2, 16
_COLUMNS = ("file_name", "image_id", "class", "category_id", "score", "x1", "y1", "x2", "y2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a folder of predictions holds beside the two JSON files.

    Attributes:
        pictures: One picture each with what was found.
        csv: The detections as a table.
        crops: Every detection cut out, in a folder of its class.
        file_threshold: Detections that score less are in no file.
        picture_threshold: Detections that score less are neither drawn nor cut out.
    """

    pictures: bool = True
    csv: bool = False
    crops: bool = False
    file_threshold: float = 0.0
    picture_threshold: float = 0.3


class Writer:
    """Writes predictions into a folder; few are in memory at a time (:func:`open_writer`)."""

    def __init__(
        self, folder: Path, wanted: Wanted, class_names: Sequence[str], stack: ExitStack
    ) -> None:
        self.folder, self.wanted, self.class_names = folder, wanted, tuple(class_names)
        self.num_detections = 0
        self.per_class: Counter[str] = Counter()
        file = stack.enter_context(_text(folder / "predictions.json"))
        self._detections = _JsonList(file, _encode_fast)
        self._rows: Any = None
        if wanted.csv:
            file = stack.enter_context(_text(folder / "predictions.csv"))
            self._rows = csv.writer(file, lineterminator="\n")
            self._rows.writerow(_COLUMNS)
        self._images_file = stack.enter_context(_text(folder / "images.json"))
        self._images: _JsonList | None = None
        self._pool = ThreadPoolExecutor(_DRAWERS)
        stack.callback(self._pool.shutdown, cancel_futures=True)
        self._drawn: deque[Future[None]] = deque()
        self._taken: set[str] = set()

    def begin(self, info: dict[str, Any], categories: Sequence[dict[str, Any]]) -> None:
        """Write the beginning of ``images.json``."""
        head = json.dumps({"info": info, "categories": list(categories)})
        self._images_file.write(head[:-1] + ', "images": ')
        self._images = _JsonList(self._images_file)

    def add(
        self, image_id: int, source: Source, pixels: npt.NDArray[Any], prediction: Prediction
    ) -> None:
        """Write one picture's detections; drawing goes on in threads."""
        assert self._images is not None
        prediction = prediction.above(self.wanted.file_threshold)
        height, width = prediction.size
        image: dict[str, Any] = {
            "id": image_id,
            "file_name": source.name,
            "width": width,
            "height": height,
            "path": str(source.path),
        }
        if source.frame is not None:
            image |= {"frame": source.frame, "seconds": source.seconds}
        drawn = None
        if self.wanted.pictures:
            drawn = self._new_name("pictures", source.name)
            image["picture"] = drawn
        self._images.add(image)
        for detection in prediction.to_coco(image_id):
            self._detections.add(detection)
        if self._rows is not None:
            self._rows.writerows(_table(image_id, source.name, prediction))
        self.num_detections += len(prediction)
        self.per_class.update(prediction.class_names)
        if drawn is not None or self.wanted.crops:
            shown = prediction.above(self.wanted.picture_threshold)
            while len(self._drawn) >= _WAITING:
                self._drawn.popleft().result()
            self._drawn.append(
                self._pool.submit(self._draw, drawn, image_id, source.name, pixels, shown)
            )

    def end(self, skipped: Sequence[dict[str, str]]) -> None:
        """Wait for the drawing threads and write the ends of the files."""
        assert self._images is not None
        while self._drawn:
            self._drawn.popleft().result()
        self._detections.end()
        self._images.end()
        self._images_file.write(', "skipped": ' + json.dumps(list(skipped)) + "}\n")

    def _new_name(self, folder: str, name: str) -> str:
        """Return where a picture goes: JPEG stays JPEG, everything else becomes PNG."""
        path = Path(folder, name)
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            path = path.with_name(path.name + ".png")
        while path.as_posix() in self._taken:
            path = path.with_name("_" + path.name)
        self._taken.add(path.as_posix())
        return path.as_posix()

    def _draw(
        self,
        drawn: str | None,
        image_id: int,
        name: str,
        pixels: npt.NDArray[Any],
        shown: Prediction,
    ) -> None:
        boxes = shown.boxes.numpy()
        if drawn is not None:
            masks = shown.masks
            picture = draw_labelled(
                pixels,
                boxes,
                shown.labels.numpy(),
                shown.scores.numpy(),
                self.class_names,
                None if masks is None else masks.numpy(),
            )
            _save(picture, self.folder / drawn)
        if self.wanted.crops:
            height, width = shown.size
            for k, (label, box) in enumerate(zip(shown.class_names, boxes, strict=True)):
                x1, y1 = np.floor(box[:2]).astype(int).clip(0, (width - 1, height - 1))
                x2, y2 = np.ceil(box[2:]).astype(int).clip((x1 + 1, y1 + 1), (width, height))
                stem = f"{image_id:06d}_{k:03d}_{Path(name).stem}.png"
                path = self.folder / "crops" / _folder_name(label) / stem
                _save(Image.fromarray(np.ascontiguousarray(pixels[y1:y2, x1:x2])), path)


@contextmanager
def open_writer(folder: Path, wanted: Wanted, class_names: Sequence[str]) -> Iterator[Writer]:
    """Yield a writer into ``folder``, whose files are closed at the end whatever happens.

    Args:
        folder: An empty folder.
        wanted: What is written.
        class_names: Name of every class.
    """
    with ExitStack() as stack:
        yield Writer(folder, wanted, class_names, stack)


def _encode_fast(item: Any) -> str:
    """Return JSON of finite numbers and names without a lone surrogate, in a tenth of the time."""
    return msgspec.json.encode(item).decode()


_encode = json.JSONEncoder(allow_nan=False).encode


class _JsonList:
    """A JSON list, written item by item, one a line."""

    def __init__(self, file: IO[str], encode: Callable[[Any], str] = _encode) -> None:
        self._file, self._encode, self._before = file, encode, "["

    def add(self, item: dict[str, Any]) -> None:
        self._file.write(f"{self._before}\n{self._encode(item)}")
        self._before = ","

    def end(self) -> None:
        self._file.write("[]" if self._before == "[" else "\n]")


def _text(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8", newline="\n")


def _table(image_id: int, name: str, prediction: Prediction) -> Iterator[tuple[Any, ...]]:
    columns = (
        prediction.class_names,
        prediction.category_ids,
        prediction.scores.tolist(),
        prediction.boxes.tolist(),
    )
    for label, category_id, score, box in zip(*columns, strict=True):
        yield name, image_id, label, category_id, score, *box


def _save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".png":
        picture.save(path, compress_level=1)  # A third of the time for a tenth more bytes.
    else:
        picture.save(path, quality=90)


def _folder_name(label: str) -> str:
    """Return a class name as a folder's: a class may be called ``a/b`` or ``..``."""
    plain = "".join(c if c.isalnum() or c in " -_." else "_" for c in label).strip(" .")
    return plain or "_"
