"""A small COCO-format folder that tests may damage."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

CATEGORIES = [{"id": 0, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 1000, "name": "owl"}]


def content(num_images: int = 3) -> dict[str, Any]:
    """Return a valid annotation file: image k has k + 1 boxes, one file of another size."""
    images = [
        {"id": 10 + k, "file_name": f"{k}.png", "width": 40 + 8 * k, "height": 32}
        for k in range(num_images)
    ]
    annotations = [
        {
            "id": 100 * (k + 1) + j,
            "image_id": 10 + k,
            "category_id": CATEGORIES[j % 3]["id"],
            "bbox": [2 + j, 3, 10 + k, 5 + j],
            "area": (10 + k) * (5 + j),
            "iscrowd": 0,
            "segmentation": [[2 + j, 3, 12 + j + k, 3, 12 + j + k, 8 + j, 2 + j, 8 + j]],
        }
        for k in range(num_images)
        for j in range(min(k + 1, 4))
    ]
    return {"images": images, "annotations": annotations, "categories": CATEGORIES}


def write_images(folder: Path, images: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for image in images:
        rng = np.random.default_rng(image["id"])
        pixels = rng.integers(0, 256, (image["height"], image["width"], 3), np.uint8)
        Image.fromarray(pixels).save(folder / image["file_name"])


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a folder in the layout of `data=coco_custom`."""

    def make(num_train: int = 3, num_val: int = 2) -> Path:
        (tmp_path / "annotations").mkdir()
        for split, count in (("train", num_train), ("val", num_val)):
            data = content(count)
            write_images(tmp_path / split, data["images"])
            (tmp_path / "annotations" / f"{split}.json").write_text(json.dumps(data))
        return tmp_path

    return make
