"""A small set that tests may damage: pictures of 64x48, two classes, three objects a picture."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from corrlight.datasets.command import main

WIDTH, HEIGHT = 64, 48
# In pairs left of, and above, the middle, and beyond it: read as corners or centres they do not
# fit, and what is read as them does.
BOXES = ((4, 6, 20, 12), (30, 20, 28, 22), (34, 4, 16, 30))


def content(first: int, count: int) -> dict:
    """Return a valid annotation file of images ``first`` to ``first + count - 1``."""
    numbers = range(first, first + count)
    return {
        "images": [
            {"id": k, "file_name": f"{k}.png", "width": WIDTH, "height": HEIGHT} for k in numbers
        ],
        "annotations": [
            {
                "id": 10 * k + j,
                "image_id": k,
                "category_id": 1 + j % 2,
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": 0,
            }
            for k in numbers
            for j, (x, y, w, h) in enumerate(BOXES)
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


def polygon(box: list[float]) -> list[list[float]]:
    """Return the outline of a box as a segmentation."""
    x, y, w, h = box
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def write_set(root: Path, num_train: int = 4, num_val: int = 2) -> Path:
    """Write a valid set."""
    for split, first, count in (("train", 1, num_train), ("val", 101, num_val)):
        data = content(first, count)
        folder = root / split
        folder.mkdir(parents=True)
        for image in data["images"]:
            rng = np.random.default_rng(image["id"])
            pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            Image.fromarray(pixels).save(folder / image["file_name"])
        write_split(root, split, data)
    return root


def read_split(root: Path, split: str = "train") -> dict:
    return json.loads((root / "annotations" / f"{split}.json").read_text("utf-8"))


def write_split(root: Path, split: str, data: object) -> None:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "annotations" / f"{split}.json").write_text(json.dumps(data), encoding="utf-8")


def run(command: str, *arguments: object) -> int:
    return main([command, *map(str, arguments)])
