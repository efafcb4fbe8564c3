"""Full-size detectors with random weights through ``corrlight export``.

    python -m benchmarks.export [DETECTOR ...] [--format onnx] [--size 320] [--dynamic size] [--raw]

Each becomes a run folder of 80 classes, is exported, and is compared with what it gives itself on
five pictures of noise and an empty one. Statistics of normalisations are those of the weights, and
classifiers are drawn with a spread: a fresh network scores every box alike. Thousands of scores
still lie closer together than two orders of addition, so that NMS may choose others: ``--raw``
compares what it is given.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import tempfile
import time
from pathlib import Path

import torch
from benchmarks.full_size import DETECTORS
from torch import Tensor, nn

from corrlight.backbones.norm import FrozenNorm
from corrlight.config.build import build_module
from corrlight.config.compose import compose_config, to_container
from corrlight.export.command import main as export
from corrlight.export.files import plain_ops
from corrlight.runs.folder import RunFolder
from corrlight.structures import Batch, Targets

CLASSES = 80


def write_run(path: Path, detector: str, size: int) -> None:
    """Write ``config.yaml`` and ``checkpoints/last.ckpt`` of a detector with random weights."""
    options = [f"detector={detector}", f"data.num_classes={CLASSES}", f"data.image_size={size}"]
    config = compose_config([*options, "backbone.weights=null"]).config
    torch.manual_seed(0)
    names, ids = [f"class {k}" for k in range(CLASSES)], list(range(1, CLASSES + 1))
    module = build_module(config, category_ids=ids, class_names=names)
    for name, part in module.detector.named_modules():
        last = name.rpartition(".")[2]
        if last in ("classifier", "cls") and isinstance(part, nn.Conv2d | nn.Linear):
            spread(part)
        elif last == "cls" and isinstance(part, nn.ModuleList):
            for linear in part:
                spread(linear)
    normalize(module.detector, size)
    folder = RunFolder(path)
    folder.create()
    folder.write_yaml("config.yaml", to_container(config))
    content = {"state_dict": module.state_dict(), "class_names": names, "category_ids": ids}
    torch.save({**content, "epoch": 0}, path / "checkpoints" / "last.ckpt")


def spread(classifier: nn.Module) -> None:
    """Have a classifier score its hypotheses apart, a part of them above every threshold."""
    assert isinstance(classifier, nn.Conv2d | nn.Linear)
    nn.init.normal_(classifier.weight, std=0.05)
    assert classifier.bias is not None
    nn.init.constant_(classifier.bias, -2.0)


def normalize(detector: nn.Module, size: int) -> None:
    """Give normalisations the statistics of one picture of noise: nothing grows from layer on."""

    def observe(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(norm, FrozenNorm | nn.BatchNorm2d)
        norm.running_mean.copy_(inputs[0].mean((0, 2, 3)))  # type: ignore[union-attr, operator]
        norm.running_var.copy_(inputs[0].var((0, 2, 3)))  # type: ignore[union-attr, operator]

    norms = [m for m in detector.modules() if isinstance(m, FrozenNorm | nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(observe) for norm in norms]
    target = Targets(
        boxes=torch.zeros(0, 4),
        labels=torch.zeros(0, dtype=torch.int64),
        valid_size=(size, size),
        padded_size=(size, size),
        original_size=(size, size),
        image_id=0,
    )
    noise = nn.functional.interpolate(torch.randn(1, 3, 8, 8), size=(size, size), mode="bilinear")
    with plain_ops():
        detector.eval()(Batch(images=noise, targets=(target,)))
    for hook in hooks:
        hook.remove()


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
    print("| detector | file | rows | boxes (px) | scores | masks | CPU seconds |")
    print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
    for detector in options.detectors:
        with tempfile.TemporaryDirectory() as name:
            run, file = Path(name, "run"), Path(name, f"model.{options.format}")
            write_run(run, detector, options.size)
            said, errors, started = io.StringIO(), io.StringIO(), time.process_time()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
                code = export([str(run), "--format", options.format, "--out", str(file), *more])
            seconds = time.process_time() - started
            if code:
                print(f"| {detector} | {' '.join(errors.getvalue().split())} |", flush=True)
                continue
            text = said.getvalue()
            found = re.search(r"([\d,]+) rows: boxes (\S+) px, scores ([^,\s]+)", text)
            masks = re.search(r"masks (\S+) of", text)
            assert found is not None, text
            share = masks.group(1) if masks else "-"
            megabytes = file.stat().st_size / 1e6
            cells = [f"{megabytes:.0f} MB", *found.groups(), share, f"{seconds:.0f}"]
            print(f"| {detector} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
