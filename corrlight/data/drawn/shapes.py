"""The embedded data ``shapes``: a COCO-format folder drawn from a seed."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image
from pycocotools import mask as coco_mask

from corrlight.data.drawn.scene import SceneObject, draw_scene
from corrlight.data.drawn.silhouettes import SHAPE_CLASSES

__all__ = ["SHAPES_VERSION", "SHAPE_CLASSES", "ShapesOptions", "write_shapes"]

# Raised by every commit that changes a byte of the written data.
SHAPES_VERSION = 3

_SPLITS = ("train", "val")
_MANIFEST = "manifest.json"
# Below this number of images a pool of processes costs more than it saves.
_MIN_POOL_IMAGES = 200

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapesOptions:
    """What the data depend on, besides ``SHAPES_VERSION``.

    Attributes:
        num_train: Number of training images.
        num_val: Number of validation images.
        image_size: Longer side in pixels; the shorter side is as long or 7/8 of it.
        seed: Seed of the data, independent of the training's.

    Raises:
        ValueError: If a number is out of range.
    """

    num_train: int = 1000
    num_val: int = 500
    image_size: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("num_train", 1, 10**6),
            ("num_val", 1, 10**6),
            ("image_size", 64, 2048),
            ("seed", 0, 2**63),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ValueError(
                    f"Expected `{name}` to be an int from {low} to {high}, but got {value!r}."
                )

    @property
    def folder_name(self) -> str:
        """Name of the folder for these options, different for different bytes."""
        text = json.dumps(self.manifest(), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return f"{self.num_train}x{self.image_size}px-{digest}"

    def manifest(self) -> dict[str, Any]:
        """Return options and version as they are stored beside the data."""
        return {"version": SHAPES_VERSION, "classes": list(SHAPE_CLASSES), "options": asdict(self)}


def write_shapes(root: str | Path, options: ShapesOptions, num_workers: int | None = None) -> Path:
    """Return the folder with the data of ``options``, drawn first if it does not exist yet.

    The folder lies under ``root`` and carries the options in its name, so that several data sets
    live side by side. It appears complete or not at all; processes that ask at the same time wait
    for the one that writes.

    Args:
        root: Folder of all embedded data.
        options: What to draw.
        num_workers: Processes that draw, one a core by default; the bytes do not depend on it.

    Raises:
        ValueError: If the folder exists, but was not written by this function.
    """
    folder = Path(root) / options.folder_name
    if _is_complete(folder, options):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if _is_complete(folder, options):
            return folder
        # What is left of a writer that was killed; nobody else writes under the lock.
        for stale in folder.parent.glob(f".{folder.name}.tmp*"):
            shutil.rmtree(stale)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.tmp", dir=folder.parent))
        start = time.perf_counter()
        total = options.num_train + options.num_val
        log.info("Drawing %s images of shapes into %s", f"{total:,}", folder)
        _write(temporary, options, num_workers)
        temporary.chmod(0o755)
        temporary.rename(folder)
        log.info("Drew %s images in %.1f s", f"{total:,}", time.perf_counter() - start)
    return folder


def _is_complete(folder: Path, options: ShapesOptions) -> bool:
    if not folder.exists():
        return False
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
    except (OSError, ValueError):
        manifest = None
    if manifest != options.manifest():
        raise ValueError(
            f"Expected {folder} to hold the shapes of its name, but its {_MANIFEST} is missing or "
            f"differs; delete the folder to have it drawn again."
        )
    return True


def _write(folder: Path, options: ShapesOptions, num_workers: int | None) -> None:
    (folder / "annotations").mkdir()
    counts = {"train": options.num_train, "val": options.num_val}
    for split in _SPLITS:
        (folder / split).mkdir()
    jobs = [(split, index) for split in _SPLITS for index in range(counts[split])]
    draw = partial(_draw_image, folder, options)
    data: dict[str, dict[str, Any]] = {split: _empty(options, split) for split in _SPLITS}
    drawn = _mapped(draw, jobs, num_workers)
    for (split, _), (image, objects) in zip(jobs, drawn, strict=True):
        part = data[split]
        part["images"].append(image)
        for entry in objects:
            part["annotations"].append({"id": len(part["annotations"]) + 1, **entry})
    for split, part in data.items():
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(part))
    (folder / _MANIFEST).write_text(json.dumps(options.manifest(), indent=2) + "\n")


def _mapped(draw: Any, jobs: list[tuple[str, int]], num_workers: int | None) -> Iterator[Any]:
    """Yield ``draw(job)`` in the order of the jobs, computed by a pool where that pays."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    workers = cores if num_workers is None else num_workers
    if workers <= 1 or (num_workers is None and len(jobs) < _MIN_POOL_IMAGES):
        yield from map(draw, jobs)
        return
    # Forked children import nothing again and call NumPy and Pillow only.
    method = "fork" if sys.platform == "linux" else "spawn"
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context(method)) as pool:
        yield from pool.map(draw, jobs, chunksize=16)


def _draw_image(
    folder: Path, options: ShapesOptions, job: tuple[str, int]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write one image and return its entry and its annotations (without their ids)."""
    split, index = job
    rng = np.random.default_rng(
        np.random.SeedSequence([SHAPES_VERSION, options.seed, _SPLITS.index(split), index])
    )
    size, short = options.image_size, options.image_size * 7 // 8
    height, width = ((size, size), (size, size), (short, size), (size, short))[int(rng.integers(4))]
    scene = draw_scene(rng, height, width)
    file_name = f"{index + 1:06d}.png"
    Image.fromarray(scene.image).save(folder / split / file_name, "PNG", compress_level=3)
    image = {"id": index + 1, "file_name": file_name, "width": width, "height": height}
    return image, list(_annotations(index + 1, scene.objects))


def _annotations(image_id: int, objects: Iterable[SceneObject]) -> Iterator[dict[str, Any]]:
    for item in objects:
        rows, columns = (np.flatnonzero(item.mask.any(axis)) for axis in (1, 0))
        x, y = int(columns[0]), int(rows[0])
        rle = coco_mask.encode(np.asfortranarray(item.mask, np.uint8))
        yield {
            "image_id": image_id,
            "category_id": item.label + 1,
            "bbox": [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y],
            "area": int(item.mask.sum()),
            "iscrowd": int(item.crowd),
            "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
        }


def _empty(options: ShapesOptions, split: str) -> dict[str, Any]:
    return {
        "info": {
            "description": f"corrlight shapes, {split}, version {SHAPES_VERSION}, "
            f"seed {options.seed}"
        },
        "images": [],
        "annotations": [],
        "categories": [
            {"id": k + 1, "name": name, "supercategory": "shape"}
            for k, name in enumerate(SHAPE_CLASSES)
        ],
    }
