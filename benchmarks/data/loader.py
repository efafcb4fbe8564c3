r"""Pictures a second from JPEG files to normalised batches, in turns with other pipelines.

    python benchmarks/data/loader.py
    python benchmarks/data/loader.py --against "PEER/bin/python benchmarks/mmdetection/loader.py"

64 JPEG files of 640x480 with nine boxes each, the training pipeline of COCO: decoded, resized to a
short side of 800, flipped half of the time, normalised, padded, two in a batch; one process, one
thread. The first peer is torchvision's ``CocoDetection`` with its transforms v2. Prints one line of
JSON: medians of a turn over all files, ratios of the seconds.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.harness.turns import Worker, measure, ratio

NUM_IMAGES, BATCH_SIZE, SHORT, LONG = 64, 2, 800, 1333
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def write_folder(root: Path) -> None:
    """Write pictures as smooth and as noisy as photographs, and their annotations."""
    rng = np.random.default_rng(0)
    for name in ("annotations", "train2017", "val2017"):
        (root / name).mkdir()
    images, annotations = [], []
    for k in range(NUM_IMAGES):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
        smooth = np.asarray(coarse.resize((640, 480), Image.Resampling.BICUBIC), np.float32)
        pixels = np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)
        images.append({"id": k + 1, "file_name": f"{k}.jpg", "width": 640, "height": 480})
        Image.fromarray(pixels).save(root / "train2017" / f"{k}.jpg", quality=90)
        shutil.copy(root / "train2017" / f"{k}.jpg", root / "val2017")
        for _ in range(9):
            x, y, w, h = (float(v) for v in rng.integers([0, 0, 20, 20], [500, 360, 140, 120]))
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": k + 1, "bbox": [x, y, w, h],
                    "category_id": int(rng.integers(1, 81)), "area": w * h, "iscrowd": 0,
                }
            )  # fmt: skip
    categories = [{"id": c, "name": f"class {c}"} for c in range(1, 81)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    for split in ("train", "val"):
        (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content))


def corrlight_loader(root: Path) -> Callable[[], None]:
    """Return one pass over the training batches of ``data=coco``."""
    from corrlight.config.build import build_data
    from corrlight.config.compose import compose_config

    overrides = ["detector=atss", "data=coco", f"data.root={root}", "data.num_workers=0"]
    data = build_data(compose_config([*overrides, f"data.batch_size={BATCH_SIZE}"]).config)
    data.setup("fit")
    loader = data.train_dataloader()
    return lambda: _exhaust(loader)


def torchvision_loader(root: Path) -> Callable[[], None]:
    """Return the same with torchvision's data set and transforms."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
    from torchvision.transforms import v2

    steps = [
        v2.ToImage(),
        v2.RandomShortestSize(SHORT, LONG),
        v2.RandomHorizontalFlip(),
        v2.ToDtype(torch.float32),
        v2.Normalize(MEAN, STD),
    ]
    data = CocoDetection(
        root / "train2017",
        root / "annotations/instances_train2017.json",
        transforms=v2.Compose(steps),
    )
    wrapped = wrap_dataset_for_transforms_v2(data, target_keys=("boxes", "labels"))

    def collate(samples: list[Any]) -> tuple[torch.Tensor, list[Any]]:
        height, width = (
            -(-max(image.shape[axis] for image, _ in samples) // 32) * 32 for axis in (1, 2)
        )
        batch = torch.zeros(len(samples), 3, height, width)
        for place, (image, _) in zip(batch, samples, strict=True):
            place[:, : image.shape[1], : image.shape[2]] = image
        return batch, [target for _, target in samples]

    loader = DataLoader(wrapped, BATCH_SIZE, shuffle=True, collate_fn=collate)
    return lambda: _exhaust(loader)


def _exhaust(loader: Any) -> None:
    for _ in loader:
        pass


_OWN = {"corrlight": corrlight_loader, "torchvision": torchvision_loader}


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--iterations", type=int, default=9)
    parser.add_argument("--budget", type=float, default=300, help="seconds")
    parser.add_argument("--against", help="command of a further side; the folder is appended")
    parser.add_argument("--work", nargs=2, metavar=("SIDE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        import torch

        from benchmarks.harness.worker import serve

        torch.set_num_threads(1)
        side, folder = options.work
        serve({"epoch": _OWN[side](Path(folder))})
        return
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder))
        commands = {name: [sys.executable, __file__, "--work", name, folder] for name in _OWN}
        if options.against:
            commands["peer"] = [*shlex.split(options.against), folder]
        sides = {name: Worker(command, 1) for name, command in commands.items()}
        measured = measure(sides, "epoch", options.iterations, 1, options.budget)
        for worker in sides.values():
            worker.close()
    result: dict[str, Any] = dict(measured)
    for name, side in measured.items():
        if side["wall"] is not None:
            result[f"{name}_images_per_second"] = round(NUM_IMAGES / side["wall"], 1)
        if name != "corrlight":
            result[f"ratio_to_{name}"] = ratio(measured["corrlight"], side)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
