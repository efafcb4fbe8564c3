"""Speed and memory of ``corrlight analyze`` beside others, on a synthetic COCO-sized file.

    python benchmarks/analyze.py                   # all parts
    python benchmarks/analyze.py --parts analyze   # analyze, hotcoco, pycocotools, beta_img, large
    python benchmarks/analyze.py --parts analyze hotcoco --repeats 9      # pip install hotcoco
    python benchmarks/analyze.py --masks --parts analyze hotcoco pycocotools

5,000 images, 80 classes, 36,000 objects and 500,000 detections, written to a temporary folder. Each
command is a process of its own: its wall time, CPU time and peak memory include start-up, reading
and, for ours, figures and report. With ``--masks`` every object and detection has a mask, an
ellipse in its box as run lengths: the others measure masks, ours boxes and masks.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_masks

NUM_IMAGES, NUM_CLASSES, NUM_OBJECTS, NUM_DETECTIONS = 5_000, 80, 36_000, 500_000
_PYCOCOTOOLS = """
import sys
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
truth = COCO(sys.argv[1])
run = COCOeval(truth, truth.loadRes(sys.argv[2]), sys.argv[3])
run.evaluate()
run.accumulate()
run.summarize()
"""
_HOTCOCO = _PYCOCOTOOLS.replace("pycocotools.cocoeval", "hotcoco").replace(
    "pycocotools.coco", "hotcoco"
)


def write_files(
    folder: Path, num_detections: int = NUM_DETECTIONS, masks: bool = False
) -> tuple[Path, Path]:
    """Write annotations and results whose scores and boxes look like a detector's."""
    rng = np.random.default_rng(0)
    # Classes and images as unequal as in COCO.
    classes = rng.choice(NUM_CLASSES, NUM_OBJECTS, p=_shares(NUM_CLASSES))
    images = rng.choice(NUM_IMAGES, NUM_OBJECTS, p=_shares(NUM_IMAGES, 0.5))
    size = np.exp(rng.uniform(np.log(8), np.log(350), (NUM_OBJECTS, 2)))
    boxes = np.concatenate([rng.uniform(0, 1, (NUM_OBJECTS, 2)) * (640 - size), size], 1)
    annotations = [
        {"id": k + 1, "image_id": i, "category_id": c, "bbox": b, "area": b[2] * b[3], "iscrowd": w}
        for k, (i, c, b, w) in enumerate(
            zip(
                images.tolist(),
                (classes + 1).tolist(),
                boxes.round(2).tolist(),
                (rng.random(NUM_OBJECTS) < 0.012).astype(int).tolist(),
                strict=True,
            )
        )
    ]
    truth = {
        "images": [{"id": i, "width": 640, "height": 640} for i in range(NUM_IMAGES)],
        "categories": [{"id": c + 1, "name": f"class {c + 1}"} for c in range(NUM_CLASSES)],
        "annotations": annotations,
    }
    # A third are jittered copies of an object, the others lie anywhere.
    copies = num_detections // 3
    of = rng.integers(0, NUM_OBJECTS, copies)
    spread = rng.choice([0.03, 0.1, 0.25], (copies, 1))
    near = boxes[of] + rng.normal(0, 1, (copies, 4)) * spread * np.tile(size[of], 2)
    rest = num_detections - copies
    far = np.concatenate([rng.uniform(0, 500, (rest, 2)), rng.uniform(4, 200, (rest, 2))], 1)
    found = np.concatenate([near, far])
    found[:, 2:] = np.maximum(found[:, 2:], 1)
    score = np.concatenate(
        [
            1 / (1 + np.exp(6 * spread[:, 0] * 4 - 2 + rng.normal(0, 1, copies))),
            rng.beta(1, 9, rest),
        ]
    )
    image = np.concatenate([images[of], rng.integers(0, NUM_IMAGES, rest)])
    label = np.concatenate([classes[of], rng.choice(NUM_CLASSES, rest, p=_shares(NUM_CLASSES))])
    order = rng.permutation(num_detections)
    results = [
        {"image_id": i, "category_id": c, "bbox": b, "score": s}
        for i, c, b, s in zip(
            image[order].tolist(),
            (label[order] + 1).tolist(),
            found[order].round(2).tolist(),
            score[order].round(5).tolist(),
            strict=True,
        )
    ]
    if masks:
        for entry in (*annotations, *results):
            entry["segmentation"] = _ellipse(entry["bbox"])
    gt, dt = _paths(folder, num_detections, masks)
    gt.write_text(json.dumps(truth))
    dt.write_text(json.dumps(results))
    return gt, dt


def _paths(folder: Path, num_detections: int, masks: bool) -> tuple[Path, Path]:
    kind = "_masks" if masks else ""
    return folder / f"instances{kind}.json", folder / f"detections{kind}_{num_detections}.json"


def _ellipse(box: list[float]) -> dict[str, object]:
    """Return the ellipse in a box as compressed run lengths."""
    x, y, width, height = box
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    sides = np.stack([x + width * (1 + np.cos(angle)) / 2, y + height * (1 + np.sin(angle)) / 2], 1)
    (mask,) = coco_masks.frPyObjects([sides.ravel().tolist()], 640, 640)
    return {"size": [640, 640], "counts": mask["counts"].decode()}


def run(*command: str | Path) -> dict[str, float]:
    """Run a command and return its wall seconds, CPU seconds and peak memory in GB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    # GNU time is not everywhere; the child itself says what it needed at most.
    script = (
        "import resource, subprocess, sys\n"
        "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, command)], capture_output=True, text=True
    )
    wall = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "gb": int(done.stdout) * 1024 / 1e9}


def report(what: str, found: dict[str, float]) -> None:
    """Print one line."""
    print(
        f"{what:44s} {found['wall']:7.2f} s wall {found['cpu']:7.2f} s CPU {found['gb']:6.2f} GB",
        flush=True,
    )


def image_correlation_seconds(num_positives: int = 300) -> float:
    """Return the median seconds of beta_img of all images."""
    from corrlight.metrics.functional import image_correlation

    rng = np.random.default_rng(0)
    images = np.repeat(np.arange(NUM_IMAGES), num_positives)
    scores, ious = rng.random((2, len(images)), dtype=np.float32)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        image_correlation(scores, ious, images, NUM_IMAGES)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main() -> None:
    """Measure and print."""
    parts = ["analyze", "hotcoco", "pycocotools", "beta_img", "large"]
    if importlib.util.find_spec("hotcoco") is None:
        parts.remove("hotcoco")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--masks", action="store_true", help="with a mask for every box")
    parser.add_argument("--folder", type=Path, help="keep the files here and use them again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        gt, dt = _paths(folder, NUM_DETECTIONS, options.masks)
        if not (gt.is_file() and dt.is_file()):
            write_files(folder, masks=options.masks)
        kind = "segm" if options.masks else "bbox"
        print(f"{NUM_DETECTIONS:,} detections, {dt.stat().st_size / 1e6:.0f} MB")
        analyze = (sys.executable, "-m", "corrlight.cli", "analyze", "--gt", gt)
        commands: dict[str, tuple[str | Path, ...]] = {
            "analyze": (*analyze, "--dt", dt),
            "hotcoco": (sys.executable, "-c", _HOTCOCO, gt, dt, kind),
            "pycocotools": (sys.executable, "-c", _PYCOCOTOOLS, gt, dt, kind),
        }
        commands = {name: c for name, c in commands.items() if name in options.parts}
        turns: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
        for _ in range(options.repeats):
            for name, command in commands.items():
                turns[name].append(run(*command))
                report(name, turns[name][-1])
        if "analyze" in options.parts:
            report("analyze --out", run(*analyze, "--dt", dt, "--out", folder / "out"))
            for other in (name for name in commands if name != "analyze"):
                for what in ("wall", "cpu", "gb"):
                    ours, theirs = (
                        statistics.median(t[what] for t in turns[n]) for n in ("analyze", other)
                    )
                    print(f"analyze / {other}, {what}: {ours / theirs:.3f}")
        if "beta_img" in options.parts:
            seconds = image_correlation_seconds()
            print(f"beta_img of {NUM_IMAGES:,} images with 300 positives: {seconds:.2f} s")
        if "large" in options.parts:
            # A results file of 200 MB.
            large = folder / "detections_2200000.json"
            if not large.is_file():
                _, large = write_files(folder, 2_200_000)
            megabytes = large.stat().st_size / 1e6
            found = run(*analyze, "--dt", large, "--out", folder / "out_large")
            report(f"corrlight analyze --out, {megabytes:.0f} MB", found)


def _shares(count: int, power: float = 1.0) -> np.ndarray:
    weights = 1 / np.arange(1, count + 1) ** power
    return weights / weights.sum()


if __name__ == "__main__":
    main()
