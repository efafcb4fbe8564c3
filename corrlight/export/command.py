"""``corrlight export``: a trained run as one file for other programs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corrlight.arguments import check_at_least
from corrlight.atomic import atomic_path, check_writable, write_text
from corrlight.commands.parsing import Parser, guarded
from corrlight.predict.sources import find_sources
from corrlight.runs.ending import FAILED

if TYPE_CHECKING:
    from torch import Tensor

    from corrlight.export.check import Agreement, Tolerances
    from corrlight.export.files import Shape
    from corrlight.export.network import ExportNetwork
    from corrlight.predict.model import Model

__all__ = ["main"]

_COMPARED = 5


class _DiffersError(Exception):
    """The file does not give what the detector gives."""


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="corrlight export",
        description="Write a trained run as one file, run the file on five pictures, and keep it "
        "if it finds what the detector finds; a model card goes beside it.",
        epilog="Exit code 0: written; 1: the file differs from the detector, nothing kept; 2: "
        "unusable input; 130: stopped. docs/after_training.md has examples.",
    )
    parser.add_argument(
        "run", metavar="RUN", help="a run folder (its best checkpoint, else the last), or one of "
        "its checkpoints",
    )  # fmt: skip
    parser.add_argument("--format", required=True, choices=("onnx", "torch_export"))
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE")
    parser.add_argument("--raw", action="store_true", help="predictions before post-processing")
    parser.add_argument(
        "--size", type=int, nargs="+", metavar="PIXELS",
        help="height and width of the pictures, or one number for both; default: the run's",
    )  # fmt: skip
    parser.add_argument("--batch", type=int, default=1, help="pictures at a time; default 1")
    parser.add_argument(
        "--dynamic", nargs="+", choices=("size", "batch"), default=[],
        help="take other sizes, other numbers of pictures, or both",
    )  # fmt: skip
    parser.add_argument(
        "--pictures", nargs="+", metavar="SOURCE",
        help="pictures to compare on, as for predict; default: some of the run's data, and of "
        "noise where they are not there",
    )  # fmt: skip
    parser.add_argument(
        "--allow-targets", action="append", default=[], metavar="MODULE",
        help="module of your own that the run's parts come from",
    )  # fmt: skip
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Export what the command line names; return the exit code (``--help`` lists them)."""
    return guarded(_options, argv, _exported, reader_may_leave=True)


def _exported(options: argparse.Namespace) -> int:
    try:
        return _export(options)
    except _DiffersError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def _export(options: argparse.Namespace) -> int:
    check_at_least(1, batch=options.batch)
    out, card = options.out, options.out.with_name(options.out.name + ".md")
    for path in (out, card):
        if path.exists() and not options.overwrite:
            raise ValueError(f"Expected a new file, but {path} is there; --overwrite replaces it.")
    if out.is_dir():
        raise ValueError(f"Expected `--out` to be a file, but {out} is a folder.")
    check_writable(out, "--out")

    from corrlight.export.card import model_card
    from corrlight.export.check import compare_file
    from corrlight.export.files import check_packages, open_file, write_file
    from corrlight.export.network import ExportNetwork
    from corrlight.export.rounding import own_rounding, widened
    from corrlight.predict.load import load

    check_packages(options.format)
    model = load(options.run, "cpu", options.allow_targets)
    shape = _shape(options, model)
    network = ExportNetwork(model, options.raw)
    metadata = _metadata(model, network, shape)
    batches = _pictures(options, model, shape)
    with atomic_path(out) as temporary:
        write_file(network, temporary, options.format, shape, metadata)
        run, _ = open_file(temporary, options.format)
        agreement = compare_file(run, network, model, batches)
        said = str(agreement)
        if not agreement.holds:
            # Where the detector's own float32 is no better, the file cannot be blamed.
            own = own_rounding(model, batches)
            tolerances = widened(own)
            if tolerances != agreement.tolerances:
                agreement = compare_file(run, network, model, batches, tolerances)
            said = f"{agreement}; {_allowed(own, tolerances)}"
            if not agreement.holds:
                # Nothing gets the file's name.
                raise _DiffersError(
                    "Expected the file to give what the detector gives, but they differ on "
                    f"{said}: not written."
                )
        assert model.checkpoint is not None
        text = model_card(out, options.format, model, metadata, said)
        # The card first: a file is never without one.
        write_text(card, text)
    # All that is said, once the file has its name: whoever reads may leave.
    print(f"compared with the detector on {said}")
    size = out.stat().st_size / 1e6
    print(f"{out}: {size:.1f} MB, {metadata['input']['said']}; {card.name} describes it")
    return 0


def _allowed(own: Agreement, tolerances: Tolerances) -> str:
    return (
        f"allowed are {tolerances.boxes:.1e} px and {tolerances.scores:.1e}: the detector's own "
        f"float32 is off from float64 by up to {own.boxes:.1e} px and {own.scores:.1e}"
    )


def _shape(options: argparse.Namespace, model: Model) -> Shape:
    """Return what pictures the file takes.

    Raises:
        ValueError: A side is no multiple of the run's divisor, or the run's size is not known.
    """
    from corrlight.export.files import Shape

    divisor = model.collate.size_divisor
    sides = options.size or _own_size(model, divisor)
    if len(sides) > 2 or min(sides) < 1:
        raise ValueError(f"Expected `--size` to be one or two positive numbers, but got {sides}.")
    height, width = sides[0], sides[-1]
    if height % divisor or width % divisor:
        near = [max(1, round(side / divisor)) * divisor for side in (height, width)]
        raise ValueError(
            f"Expected `--size` to be multiples of {divisor}, which the detector fills pictures "
            f"up to, but got {height} {width} (near: {near[0]} {near[1]})."
        )
    return Shape(
        batch=options.batch,
        height=height,
        width=width,
        divisor=divisor,
        any_batch="batch" in options.dynamic,
        any_size="size" in options.dynamic,
    )


def _own_size(model: Model, divisor: int) -> list[int]:
    """Return height and width that the run's evaluation fits pictures into."""
    data = model.config.get("data", {})
    sides: list[int] = []
    for step in model.transforms:
        short, long = getattr(step, "short", None), getattr(step, "long", None)
        if short and isinstance(long, int):
            sides = [max(short), long]
    if not sides and isinstance(data.get("image_size"), int):
        sides = [data["image_size"]] * 2
    if not sides:
        raise ValueError("Expected `--size`: the run does not say how large its pictures are.")
    return [-(-side // divisor) * divisor for side in sides]


def _metadata(model: Model, network: ExportNetwork, shape: Shape) -> dict[str, Any]:
    from corrlight import __version__

    free = [name for name, there in (("size", shape.any_size), ("batch", shape.any_batch)) if there]
    said = f"{shape.batch} x 3 x {shape.height} x {shape.width}"
    if free:
        of_size = f", sides multiples of {shape.divisor}" if shape.any_size else ""
        said = f"any {' and '.join(free)}{of_size} (made at {said})"
    steps = model.config.get("data", {}).get("eval_transforms") or {}
    return {
        "class_names": list(model.class_names),
        "category_ids": list(model.category_ids),
        "input": {
            "layout": "RGB, 0 to 255, float32, (batch, 3, height, width)",
            "batch": shape.batch,
            "size": [shape.height, shape.width],
            "multiple_of": shape.divisor,
            "dynamic": free,
            "said": said,
        },
        "outputs": list(network.output_names),
        "normalization": {
            "mean": model.collate.mean.flatten().tolist(),
            "std": model.collate.std.flatten().tolist(),
            "inside": True,
        },
        "resize": {"steps": steps, "said": _said(steps)},
        "source": {
            "corrlight": __version__,
            "detector": (model.config.get("detector") or {}).get("name"),
            "checkpoint": None if model.checkpoint is None else model.checkpoint.name,
        },
    }


def _said(steps: dict[str, Any]) -> str:
    words = []
    for step in steps.values():
        options = {k: v for k, v in (step or {}).items() if k != "_target_" and v is not None}
        name = str((step or {}).get("_target_", "")).rpartition(".")[2]
        words.append(f"{name}({', '.join(f'{k}={v}' for k, v in options.items())})")
    return " ".join(words) or "not at all"


def _pictures(options: argparse.Namespace, model: Model, shape: Shape) -> list[Tensor]:
    """Return batches to compare on: pictures, an empty one, and other sizes where they are free."""
    import numpy as np
    import torch

    from corrlight.data.transforms import apply_transforms
    from corrlight.predict.pictures import as_sample, read_pixels

    rng = np.random.default_rng(0)
    images = []
    for path in _some_pictures(options, model):
        sample = as_sample(read_pixels(path, model.bit_depth))
        images.append(apply_transforms(model.transforms, sample, rng).image.float())
    if not images:
        generator = torch.Generator().manual_seed(0)
        for _ in range(_COMPARED):
            small = torch.rand(1, 3, 8, 8, generator=generator) * 255
            size = [shape.height, shape.width]
            enlarged = torch.nn.functional.interpolate(small, size=size, mode="bilinear")
            images.append(enlarged[0])
    sizes = [(shape.height, shape.width)]
    if shape.any_size:
        sizes.append((shape.height + shape.divisor, max(2, shape.width // shape.divisor - 1)
                      * shape.divisor))  # fmt: skip
    counts = [shape.batch, *([shape.batch + 2] if shape.any_batch else [])]
    batches = []
    for height, width in sizes:
        canvas = model.collate.mean.expand(len(images) + 1, 3, height, width).clone()
        for place, image in zip(canvas, images, strict=False):
            h, w = min(height, image.shape[1]), min(width, image.shape[2])
            place[:, :h, :w] = image[:, :h, :w]
        for count in counts:
            rows = torch.arange(-(-len(canvas) // count) * count) % len(canvas)
            batches += list(canvas[rows].split(count))
    return batches


def _some_pictures(options: argparse.Namespace, model: Model) -> list[Path]:
    """Return the pictures that were named, or some of the run's data where they are there."""
    if options.pictures:
        sources, _ = find_sources(options.pictures, sys.stdin)
        return [source.path for source in sources]
    root = str(model.config.get("data", {}).get("root") or "")
    if not root or not Path(root).is_dir():
        return []
    try:
        sources, _ = find_sources([root])
    except ValueError:
        return []
    step = max(1, len(sources) // _COMPARED)
    return [source.path for source in sources[::step][:_COMPARED]]
