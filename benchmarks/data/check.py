"""Time and memory of ``corrlight data check`` on a synthetic set of the size of COCO.

    python benchmarks/data/check.py FOLDER            # makes the set there once, then checks it
    python benchmarks/data/check.py FOLDER --masks    # objects have polygons
    python benchmarks/data/check.py FOLDER --images 1000 --objects 7300

118,000 training and 5,000 validation pictures of 640x480, 860,000 and 36,000 objects of 80 classes.
Every picture is a file of its own content. The command is a process of its own: its wall time and
peak memory include start-up. A second run finds the files in the system's cache, as the first does
right after they were written.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NUM_IMAGES, NUM_OBJECTS, NUM_CLASSES = 118_000, 860_000, 80
WIDTH, HEIGHT = 640, 480
# Of COCO: validation pictures for every training picture, and corners of an outline.
_VAL_SHARE, _CORNERS = 5 / 118, 16


def main() -> None:
    """Make the set unless it is there, check it and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--masks", action="store_true")
    parser.add_argument("--images", type=int, default=NUM_IMAGES)
    parser.add_argument("--objects", type=int, default=NUM_OBJECTS)
    parser.add_argument("--make", action="store_true", help="make the set and do nothing else")
    options = parser.parse_args()
    root = options.folder / f"{options.images}_{options.objects}{'_masks' * options.masks}"
    if options.make:
        for split, share in (("train", 1.0), ("val", _VAL_SHARE)):
            _write_split(
                root,
                split,
                round(options.images * share),
                round(options.objects * share),
                options.masks,
            )
        return
    if not root.exists():
        # In a process of its own: a child's peak memory begins with that of its parent.
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--make"], check=True)
    command = [sys.executable, "-m", "corrlight.cli", "data", "check", str(root)]
    started = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    size = sum(file.stat().st_size for file in (root / "annotations").iterdir())
    print(
        f"\n{seconds:.1f} s, {usage.ru_utime + usage.ru_stime:.1f} s of CPU, "
        f"{usage.ru_maxrss / 1e6:.2f} GB, annotation files of {size / 1e6:.0f} MB, "
        f"exit code {os.waitstatus_to_exitcode(status)}"
    )


def _write_split(root: Path, split: str, num_images: int, num_objects: int, masks: bool) -> None:
    rng = np.random.default_rng(len(split))
    folder = root / split
    folder.mkdir(parents=True)
    images = []
    # One picture is encoded; a comment and bytes of a varying number make each file another.
    buffer = io.BytesIO()
    noise = rng.integers(0, 256, (15, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((WIDTH, HEIGHT)).save(buffer, "JPEG", quality=10)
    encoded = buffer.getvalue()
    for number in range(1, num_images + 1):
        name = f"{number:012}.jpg"
        comment = f"{split} {number}".encode() + bytes(int(rng.integers(0, 4000)))
        marker = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big")
        (folder / name).write_bytes(encoded[:2] + marker + comment + encoded[2:])
        images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
    annotations = list(_annotations(rng, num_images, num_objects, masks))
    categories = [{"id": k + 1, "name": f"class {k + 1}"} for k in range(NUM_CLASSES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"{split}.json").write_text(json.dumps(content), encoding="utf-8")


def _annotations(rng: Any, num_images: int, num_objects: int, masks: bool) -> Any:
    sides = np.exp(rng.uniform(np.log(8), np.log(350), (num_objects, 2)))
    corners = rng.uniform(0, 1, (num_objects, 2)) * ((WIDTH, HEIGHT) - sides)
    boxes = np.concatenate([corners, sides], 1).round(2)
    owners = rng.integers(1, num_images + 1, num_objects)
    classes = rng.zipf(1.5, num_objects) % NUM_CLASSES + 1
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], 1) / 2 + 0.5
    for number in range(num_objects):
        box = boxes[number]
        record = {
            "id": number + 1,
            "image_id": int(owners[number]),
            "category_id": int(classes[number]),
            "bbox": box.tolist(),
            "area": round(float(box[2] * box[3] * (np.pi / 4 if masks else 1)), 2),
            "iscrowd": 0,
        }
        if masks:
            outline = (box[:2] + circle * box[2:]).round(2)
            record["segmentation"] = [outline.ravel().tolist()]
        yield record


if __name__ == "__main__":
    main()
