r"""Seconds of a training iteration and of an inference on CPU, alone or in turn with a peer.

    python benchmarks/detectors.py --detector atss
    python benchmarks/detectors.py --detector sparse_rcnn \
        --against "PEER/bin/python benchmarks/mmdetection/worker.py sparse_rcnn"

Full-size model with random weights, 80 classes, one random image with five boxes, float32.
A training iteration is zero_grad, forward, all losses, backward and the optimizer's step, which is
SGD's, or AdamW's after clipping where the published schedule has it; inference goes from the image
tensor to the detections. Prints one line of JSON: medians, their ratio to the
peer's, and the largest resident memory of each process after training.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness.objects import SIZE
from benchmarks.harness.turns import Worker, measure, ratio


def work(detector: str, corr: str, threads: int, size: tuple[int, int]) -> None:
    """Be the worker for corrlight."""
    import torch

    from benchmarks.harness.full_size import FullSize
    from benchmarks.harness.worker import serve
    from corrlight.ops.allocator import keep_freed_memory
    from corrlight.structures import Positives

    keep_freed_memory()  # As every run does.
    torch.set_num_threads(threads)
    subject = FullSize(detector, corr, size=size)
    module, batch = subject.module, subject.batches[1]

    with torch.no_grad():
        stages = module.detector(batch)
        matches = [module.assigner(stage, batch.targets) for stage in stages]

    def loss_callbacks() -> None:
        """Value and gradient of the correlation terms, from the positives on."""
        for stage, match in zip(stages, matches, strict=True):
            positives = Positives.gather(stage, batch.targets, match)
            positives.scores.requires_grad_()
            for callback in module.loss_callbacks.values():
                term = callback.weight * callback(positives)
                torch.autograd.grad(term, positives.scores)

    def info() -> dict[str, object]:
        parameters = sum(p.numel() for p in module.detector.parameters())
        positives = sum(int(m.num_positives.sum()) for m in matches)
        return {
            "torch": torch.__version__,
            "parameters": parameters,
            "positives": positives,
            "detections": len(module(batch)[0]),
        }

    actions = {"train": subject.train, "infer": subject.infer}
    serve({**actions, "loss_callbacks": loss_callbacks, "info": info})


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detector", default="atss")
    parser.add_argument("--corr", default="concordance")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=SIZE,
        help="the image's height and width; a peer is told with its command",
    )
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--budget", type=float, default=150, help="seconds for each quantity")
    parser.add_argument(
        "--max-foreign-load",
        type=float,
        default=0.12,
        help="drop iterations during which other processes used more of one core than this",
    )
    parser.add_argument("--against", help="command of a worker to take turns with")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.detector, arguments.corr, arguments.threads, tuple(arguments.size))
        return
    own = [sys.executable, __file__, "--work", "--detector", arguments.detector]
    own += ["--corr", arguments.corr, "--threads", str(arguments.threads)]
    own += ["--size", *map(str, arguments.size)]
    ours = Worker(own, arguments.threads)
    sides = {"ours": ours}
    if arguments.against:
        sides["peer"] = Worker(shlex.split(arguments.against), arguments.threads)
    result: dict[str, object] = {"detector": arguments.detector, "threads": arguments.threads}
    result |= {"corr": arguments.corr, "size": arguments.size} | ours.ask("info")
    limits = (
        arguments.iterations,
        arguments.warmup,
        arguments.budget,
        arguments.max_foreign_load,
    )
    for action in ("train", "infer"):
        measured = measure(sides, action, *limits)
        result[action] = measured["ours"]
        if action == "train":  # The libraries' own memory is in it: hundreds of MB on both sides.
            for name, worker in sides.items():
                key = "peak_mb" if name == "ours" else f"{name}_peak_mb"
                result[key] = worker.ask("memory")["peak_mb"]
        if "peer" in sides:
            result[f"peer_{action}"] = measured["peer"]
            result[f"ratio_{action}"] = ratio(measured["ours"], measured["peer"])
    share = measure({"ours": ours}, "loss_callbacks", *limits)["ours"]
    result["loss_callbacks"] = share
    train = result["train"]
    assert isinstance(train, dict)
    if share["wall"] is not None and train["wall"] is not None:
        result["loss_callbacks_share"] = round(share["wall"] / train["wall"], 4)
    for worker in sides.values():
        worker.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
