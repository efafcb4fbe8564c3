r"""What the plugged loss costs a training step on the CPU: RT-DETR v2, or torchvision's RetinaNet.

    python benchmarks/plug_cost.py [--library torchvision] [--size 640] [--steps 5] [--threads 1]

ResNet-50, 80 classes, random weights, seven objects an image. The difference of whole steps with
and without the loss drowns in noise (1 % of some seconds), so what is added is measured itself:
forward, the time inside the seam without that of the model's own loss; backward, the gradient of
the term alone down to the logits of all layers, where the model's own graph begins. Times are of
the processor (``process_time``), so other processes do not count. Matchings are counted, too.
"""

import argparse
import inspect
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from corrlight.boxes import cxcywh_to_xyxy
from corrlight.plug import correlate

LIBRARY = "transformers"


def make_batch(images: int, size: int) -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    """Return pictures and labels."""
    generator = torch.Generator().manual_seed(0)
    labels = [
        {
            "class_labels": torch.randint(80, (7,), generator=generator),
            "boxes": torch.rand(7, 4, generator=generator) * 0.3 + 0.2,
        }
        for _ in range(images)
    ]
    return torch.rand(images, 3, size, size, generator=generator), labels


@dataclass(frozen=True)
class Case:
    """A detector: its step (total, term, logits), and the loss put in (clocks without and with)."""

    step: Callable[[], tuple[torch.Tensor, torch.Tensor | None, Any]]
    attach: Callable[[], tuple["Clock", "Clock"]]


class Clock:
    """Sums the processor's time of calls of a function."""

    def __init__(self, function: Any) -> None:
        self.function, self.seconds = function, 0.0
        # The seam reads the names of the arguments.
        self.__signature__ = inspect.signature(function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function and add its time."""
        start = time.process_time()
        try:
            return self.function(*args, **kwargs)
        finally:
            self.seconds += time.process_time() - start


def hugging_face(options: argparse.Namespace) -> Case:
    """Return RT-DETR v2 with clocks around the seam and the model's own loss."""
    from transformers import RTDetrV2Config, RTDetrV2ForObjectDetection

    model = RTDetrV2ForObjectDetection(RTDetrV2Config(num_labels=80)).train()
    pictures, labels = make_batch(options.images, options.size)

    def step() -> tuple[torch.Tensor, torch.Tensor | None, Any]:
        output = model(pixel_values=pictures, labels=labels)
        return output.loss, output.loss_dict.get("loss_correlation"), output.intermediate_logits

    def attach() -> tuple[Clock, Clock]:
        seam: Any = correlate(model, 0.2).seam
        own, whole = Clock(seam.function), Clock(seam.__call__)
        seam.function = own
        # Both clocks inside: what the model calls is a plain function.
        model._loss_function = whole
        return own, whole

    return Case(step, attach)


def torchvision(options: argparse.Namespace) -> Case:
    """Return RetinaNet likewise."""
    from torchvision.models.detection import retinanet_resnet50_fpn

    size = {"min_size": options.size, "max_size": options.size}
    model = retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=81, **size)
    model.train()
    pictures, labels = make_batch(options.images, options.size)
    targets = [
        {
            "boxes": cxcywh_to_xyxy(label["boxes"]) * options.size,
            "labels": label["class_labels"] + 1,
        }
        for label in labels
    ]
    seen: dict[str, Any] = {}
    model.head.register_forward_hook(lambda module, args, outputs: seen.update(outputs))

    def step() -> tuple[torch.Tensor, torch.Tensor | None, Any]:
        losses = model(list(pictures), targets)
        total = torch.stack(list(losses.values())).sum()
        return total, losses.get("correlation"), seen["cls_logits"]

    def attach() -> tuple[Clock, Clock]:
        seam: Any = correlate(model, 0.2).seam
        own, whole = Clock(seam._override.original), Clock(seam.compute_loss)
        seam._override.original = own
        model.head.compute_loss = whole
        return own, whole

    return Case(step, attach)


def main() -> None:
    """Print the share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", choices=("transformers", "torchvision"), default=LIBRARY)
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    case = (hugging_face if options.library == LIBRARY else torchvision)(options)
    matchings: list[str] = []

    def see(module: nn.Module, args: Any, output: Any) -> None:
        if type(module).__name__.endswith("HungarianMatcher"):
            matchings.append(type(module).__name__)

    register_module_forward_hook(see)
    case.step()[0].backward()
    without = len(matchings)
    own, whole = case.attach()
    rows = []
    for k in range(options.steps + 1):
        matchings.clear()
        own.seconds = whole.seconds = 0.0
        start = time.process_time()
        total, term, logits = case.step()
        total.backward(retain_graph=True)
        step = time.process_time() - start
        forward = whole.seconds - own.seconds
        start = time.process_time()
        assert term is not None
        torch.autograd.grad(term, logits)
        backward = time.process_time() - start
        if k:  # the first one warms up
            rows.append((step, forward, backward))
    step, forward, backward = (statistics.median(column) for column in zip(*rows, strict=True))
    share = (forward + backward) / step
    print(f"a step {step:.2f} s, of it the loss: forward {1e3 * forward:.1f} ms, ", end="")
    print(f"backward at most {1e3 * backward:.1f} ms, together {100 * share:.2f} %")
    if options.library == LIBRARY:
        print(f"matchings of a step: {without} without, {len(matchings)} with")


if __name__ == "__main__":
    main()
