"""A set as files: all of it or nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corrlight.atomic import atomic_folder
from corrlight.datasets.assembly import Dataset

__all__ = ["write"]


def write(
    dataset: Dataset, root: Path, *, link: bool = False, step: Callable[[], None] = lambda: None
) -> None:
    """Write ``annotations/SPLIT.json`` and the pictures of every split; all of it or nothing.

    Args:
        dataset: What to write.
        root: The folder to make.
        link: Whether pictures are hard links to the source's instead of copies.
        step: Called after every picture.

    Raises:
        ValueError: There is something at ``root``.
        OSError: It cannot be written.
    """
    with atomic_folder(root) as folder:
        (folder / "annotations").mkdir()
        for split, pictures in dataset.splits.items():
            text = json.dumps(_document(dataset, split), ensure_ascii=False, separators=(",", ":"))
            (folder / "annotations" / f"{split}.json").write_text(text + "\n", encoding="utf-8")
            (folder / split).mkdir()
            for picture, name in zip(pictures, dataset.names[split], strict=True):
                target = folder / split / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if picture.content is not None:
                    target.write_bytes(picture.content)
                elif link:
                    target.hardlink_to(picture.path.resolve())
                else:
                    shutil.copyfile(picture.path, target)
                step()


def _document(dataset: Dataset, split: str) -> dict[str, Any]:
    pictures, image_ids = dataset.splits[split], dataset.image_ids[split]
    annotation_ids = iter(dataset.annotation_ids[split])
    category = {record["name"]: record["id"] for record in dataset.categories}
    images, annotations = [], []
    for picture, name, image_id in zip(pictures, dataset.names[split], image_ids, strict=True):
        height, width = picture.size
        record = {"id": image_id, "file_name": name, "width": width, "height": height}
        images.append({**record, **picture.extra})
        for a in picture.annotations:
            record = {
                "id": next(annotation_ids),
                "image_id": image_id,
                "category_id": category[a.label],
                "bbox": list(a.shape.box),
                "area": a.shape.area,
                "iscrowd": int(a.crowd),
            }
            if a.shape.segmentation is not None:
                record["segmentation"] = a.shape.segmentation
            annotations.append({**record, **a.extra})
    return {"images": images, "annotations": annotations, "categories": dataset.categories}
