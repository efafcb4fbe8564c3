r"""Parameters and GFLOPs of every full-size detector, by torch's counter, on no device.

    python benchmarks/complexity.py [DETECTOR ...] [--size 800 1333] [--backbone resnet101]

One image, padded to a multiple of 32, 80 classes; a multiply-add counts as two operations, as in
torch's counter. A deformable convolution counts as a plain one of the same kernel; reading between
pixels is not counted. Prints a row of a Markdown table a detector.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import torchvision.ops  # noqa: F401  its operators are counted below
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.mmdetection.raw_outputs import batch_of
from corrlight.config.allowlist import instantiate
from corrlight.config.compose import config_dir
from corrlight.convert.expected import compose_detector
from corrlight.ops.switch import fast_ops


def full_size() -> list[str]:
    """Return the files of ``conf/detector`` that are no small variants."""
    names = (p.stem for p in (config_dir() / "detector").glob("*.yaml"))
    # Detectors of other libraries are counted by these.
    own = (name for name in names if name.partition("_")[0] not in ("hf", "tv"))
    return sorted(name for name in own if not name.endswith("_small"))


def deformable_flops(
    x: torch.Size, weight: torch.Size, *_: Any, out_shape: torch.Size, **__: Any
) -> int:
    """Return the operations of a deformable convolution, without those that read its input."""
    per_output = math.prod(weight[1:])  # multiply-adds
    return 2 * per_output * math.prod(out_shape)


def measure(detector: str, size: tuple[int, int], overrides: list[str]) -> tuple[int, float]:
    """Return the number of parameters and the GFLOPs of one image."""
    # Its operators are unknown to the counter.
    torch.backends.mha.set_fastpath_enabled(False)
    config = compose_detector(detector, [*overrides, "data.num_classes=80"])
    divisor = 1 if detector == "yolact" and size == (550, 550) else 32
    padded = (-(-size[0] // divisor) * divisor, -(-size[1] // divisor) * divisor)
    # What proposals there are depends on the picture's values, of which "meta" has none.
    with torch.device("cpu" if "selection" in config.detector.net else "meta"):
        net = instantiate(config.detector.net).eval().requires_grad_(False)
        batch = batch_of(torch.zeros(1, 3, *padded), size)
        known = {torch.ops.torchvision.deform_conv2d: deformable_flops}
        counted = FlopCounterMode(display=False, custom_mapping=known)
        # Winograd's algorithm has fewer operations than the convolution that is counted.
        with torch.no_grad(), fast_ops([]), counted as counter:
            net(batch)
    return sum(p.numel() for p in net.parameters()), counter.get_total_flops() / 1e9


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detectors", nargs="*", default=full_size())
    parser.add_argument("--size", nargs=2, type=int, default=(800, 1333))
    parser.add_argument("--backbone")
    options = parser.parse_args()
    size = (options.size[0], options.size[1])
    overrides = [f"backbone={options.backbone}"] if options.backbone else []
    for detector in options.detectors:
        parameters, operations = measure(detector, size, overrides)
        print(f"| {detector} | {parameters:,} | {operations:.1f} |", flush=True)


if __name__ == "__main__":
    main()
