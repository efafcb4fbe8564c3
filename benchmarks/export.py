"""Full-size detectors with random weights through ``corrlight export``.

    python -m benchmarks.export [DETECTOR ...] [--format onnx] [--size 320] [--dynamic size] [--raw]

Each becomes a run folder of 80 classes, is exported, and is compared with what it gives itself on
five pictures of noise and an empty one. The layers of a fresh network magnify or mute what goes
through them, which a trained one's do not: their spread is set on a picture of noise (`calm`). The
column "of float32" says how far the detector is from itself in float64, raw, on one picture: no
file in float32 can be asked to be much closer.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.harness.full_size import DETECTORS
from corrlight.backbones.norm import FrozenNorm
from corrlight.config.build import build_module
from corrlight.config.compose import compose_config, to_container
from corrlight.data.collate import Collate
from corrlight.export.check import whole_images
from corrlight.export.command import main as export
from corrlight.export.files import plain_ops
from corrlight.export.rounding import own_rounding
from corrlight.predict.load import load
from corrlight.runs.folder import RunFolder
from corrlight.structures import Batch

CLASSES = 80
Levels = Tensor | list[Tensor]
Hook = Callable[[nn.Module, object, Levels], Levels | None]


def write_run(path: Path, detector: str, size: int) -> None:
    """Write ``config.yaml`` and ``checkpoints/last.ckpt`` of a detector with random weights."""
    options = [f"detector={detector}", f"data.num_classes={CLASSES}", f"data.image_size={size}"]
    config = compose_config([*options, "backbone.weights=null"]).config
    torch.manual_seed(0)
    names, ids = [f"class {k}" for k in range(CLASSES)], list(range(1, CLASSES + 1))
    module = build_module(config, category_ids=ids, class_names=names)
    # PAA ranks by roots: of more pairs than a file takes (10,000), some would have no vote in it.
    data, prior = config.data, -8.0 if detector == "paa" else -6.0
    calm(module.detector, Collate(list(data.mean), list(data.std)), size, prior)
    folder = RunFolder(path)
    folder.create()
    folder.write_yaml("config.yaml", to_container(config))
    content = {"state_dict": module.state_dict(), "class_names": names, "category_ids": ids}
    torch.save({**content, "epoch": 0}, path / "checkpoints" / "last.ckpt")


def calm(detector: nn.Module, collate: Collate, size: int, prior: float) -> None:
    """Give layers the spread that those of a trained detector have, on one picture of noise.

    Statistics of normalisations become the picture's. Layers outside of the backbone give values of
    a standard deviation of 1 (layer-sequential unit variance; Mishkin and Matas, 2016, without the
    orthogonal start), those that make boxes 0.1, classifiers 1.5 around `prior`, and
    residual branches, which start at nothing, 0.2.
    """
    observed: set[nn.Module] = set()

    def observe(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(norm, FrozenNorm | nn.BatchNorm2d)
        if norm not in observed:
            observed.add(norm)
            norm.running_mean.copy_(inputs[0].mean((0, 2, 3)))  # type: ignore[union-attr, operator]
            spread = inputs[0].var((0, 2, 3))
            # A channel that hardly varies on one picture is no reason to magnify its rounding.
            norm.running_var.copy_(spread.clamp(min=0.1 * float(spread.mean())))  # type: ignore[union-attr, operator]

    def scale(spread: float, center: float) -> Hook:
        def hook(layer: nn.Module, _: object, output: Levels) -> Levels | None:
            assert isinstance(layer, nn.Conv2d | nn.Linear)
            if layer in observed:
                return None
            observed.add(layer)
            # Shared layers give all levels of a pyramid at once.
            levels = output if isinstance(output, list) else [output]
            if layer.bias is not None:
                own = layer.bias.view(-1, 1, 1) if isinstance(layer, nn.Conv2d) else layer.bias
                levels = [level - own for level in levels]
                layer.bias.fill_(center)
            factor = spread / torch.cat([level.flatten() for level in levels]).std()
            layer.weight.mul_(factor)
            levels = [level * factor + center for level in levels]
            return levels if isinstance(output, list) else levels[0]

        return hook

    handles = []
    for name, part in detector.named_modules():
        if isinstance(part, FrozenNorm | nn.BatchNorm2d):
            if name.endswith(".bn3"):
                nn.init.constant_(part.weight, 0.2)  # type: ignore[arg-type]
            handles.append(part.register_forward_pre_hook(observe))
        elif isinstance(part, nn.Conv2d | nn.Linear) and not name.startswith("backbone."):
            names = name.split(".")
            if {"classifier", "cls"} & {*names}:
                spread, center = 1.5, prior
            else:
                spread, center = 0.1 if names[-1] in ("regressor", "reg") else 1.0, 0.0
            handles.append(part.register_forward_hook(scale(spread, center)))
    images = (smooth_noise(size) - collate.mean) / collate.std
    with plain_ops():
        detector.eval()(Batch(images=images, targets=whole_images(images)))
    for handle in handles:
        handle.remove()


def smooth_noise(size: int) -> Tensor:
    """Return a picture like those that ``corrlight export`` compares on where there are no data."""
    small = torch.rand(1, 3, 8, 8) * 255
    return nn.functional.interpolate(small, size=(size, size), mode="bilinear")


def main() -> None:
    """Print a row of a table for every detector."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detectors", nargs="*", default=DETECTORS)
    parser.add_argument("--format", default="onnx", choices=("onnx", "torch_export"))
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--dynamic", nargs="+", default=[], choices=("size", "batch"))
    parser.add_argument("--raw", action="store_true", help="before post-processing")
    options = parser.parse_args()
    more = ["--dynamic", *options.dynamic] if options.dynamic else []
    more += ["--raw"] if options.raw else []
    print("| detector | file | rows | boxes (px) | scores | masks | of float32 | CPU seconds |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    for detector in options.detectors:
        with tempfile.TemporaryDirectory() as name:
            run, file = Path(name, "run"), Path(name, f"model.{options.format}")
            write_run(run, detector, options.size)
            own = own_rounding(load(run, "cpu"), [smooth_noise(options.size)])
            said, errors, started = io.StringIO(), io.StringIO(), time.process_time()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
                code = export([str(run), "--format", options.format, "--out", str(file), *more])
            seconds = time.process_time() - started
            if code:
                print(f"| {detector} | {' '.join(errors.getvalue().split())} | {own} |", flush=True)
                continue
            text = said.getvalue()
            found = re.search(r"([\d,]+) rows: boxes (\S+) px, scores ([^,;\s]+)", text)
            masks = re.search(r"masks (\S+) of", text)
            assert found is not None, text
            ties = re.search(r"(\d+) on one side by equal", text)
            share = masks.group(1) if masks else "-"
            megabytes = file.stat().st_size / 1e6
            rows, boxes, scores = found.groups()
            rows += f" ({ties.group(1)} by ties)" if ties else ""
            cells = [f"{megabytes:.0f} MB", rows, boxes, scores, share]
            cells += [f"{own.boxes:.1e} px, {own.scores:.1e}", f"{seconds:.0f}"]
            print(f"| {detector} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
