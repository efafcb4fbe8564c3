"""Pictures a second of ``corrlight predict`` beside the bare detector loop.

    python -m benchmarks.predict RUN [--count 500] [--size 320] [--batch 1]

The bare loop has its pictures decoded, resized and normalised before the clock starts, and throws
its detections away; ``predict`` reads the files, and writes COCO results and pictures: of what
scores at least 0.3, of all that the detector returns, and none. CPU time is that of all threads: on
a machine that does other work it is the steadier of the two.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from corrlight.ops.allocator import keep_freed_memory
from corrlight.predict.command import main as predict
from corrlight.predict.load import load
from corrlight.predict.pictures import as_sample, read_pixels


def write_pictures(folder: Path, count: int, size: int) -> list[Path]:
    """Write ``count`` JPEG files of soft noise, as large on disk as photographs."""
    rng = np.random.default_rng(0)
    paths = []
    for k in range(count):
        small = rng.integers(0, 256, (size // 8, size // 8, 3), np.uint8)
        path = folder / f"{k:05d}.jpg"
        Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC).save(path)
        paths.append(path)
    return paths


def bare_loop(run: Path, paths: list[Path], batch_size: int) -> tuple[float, float]:
    """Return the pictures a second, and a CPU second, of detector and post-processing alone."""
    model = load(run, "cpu")
    distinct = [as_sample(read_pixels(path)) for path in paths[:50]]
    batches = [
        model.collate(distinct[k : k + batch_size]) for k in range(0, len(distinct), batch_size)
    ]
    with torch.inference_mode():
        model.postprocessor(model.detector(batches[0])[-1], batches[0].valid_sizes)
        started, cpu, done = time.perf_counter(), time.process_time(), 0
        while done < len(paths):
            batch = batches[(done // batch_size) % len(batches)]
            model.postprocessor(model.detector(batch)[-1], batch.valid_sizes)
            done += len(batch)
        return done / (time.perf_counter() - started), done / (time.process_time() - cpu)


def whole_command(
    run: Path, folder: Path, out: Path, count: int, *options: str
) -> tuple[float, float]:
    """Return the same of the command, without the time to load torch."""
    started, cpu = time.perf_counter(), time.process_time()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert predict([str(folder), "--run", str(run), "--out", str(out), *options]) == 0
    print(f"  {said.getvalue().splitlines()[0]}")
    return count / (time.perf_counter() - started), count / (time.process_time() - cpu)


def main() -> None:
    """Print both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        pictures = Path(name, "pictures")
        pictures.mkdir()
        paths = write_pictures(pictures, options.count, options.size)
        kinds = {
            "pictures": [],
            "all detections drawn": ["--score-threshold", "0"],
            "no pictures": ["--no-pictures"],
        }
        ratios: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for k in range(options.rounds):
            for kind, more in kinds.items():
                # Beside each command its own: a machine is not equally busy for minutes.
                bare = bare_loop(options.run, paths, options.batch)
                out = Path(name, f"{kind}{k}")
                batch = ["--batch", str(options.batch), *more]
                speed = whole_command(options.run, pictures, out, options.count, *batch)
                ratios[kind].append((speed[0] / bare[0], speed[1] / bare[1]))
                print(
                    f"{kind}: {speed[0]:.1f} a second, bare loop {bare[0]:.1f}; of CPU time "
                    f"{speed[1]:.1f} and {bare[1]:.1f}"
                )
        for kind, values in ratios.items():
            wall, cpu = np.median(values, axis=0)
            print(f"{kind}: median ratio {wall:.3f}, of CPU time {cpu:.3f}")
        print(f"{torch.get_num_threads()} threads, {len(os.sched_getaffinity(0))} CPUs")


if __name__ == "__main__":
    main()
