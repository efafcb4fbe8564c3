r"""Seconds of a training iteration and of an inference on CPU, alone or in turn with a peer.

    python benchmarks/detectors.py --detector atss
    python benchmarks/detectors.py --detector sparse_rcnn \
        --against "PEER/bin/python benchmarks/mmdetection/worker.py sparse_rcnn"

Full-size model with random weights, 80 classes, one random 256x320 image with five boxes, float32.
A training iteration is zero_grad, forward, all losses, backward and an SGD step; inference goes
from the image tensor to the detections. Prints one line of JSON: medians, their ratio to the
peer's, and the largest resident memory of each process after training.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def work(detector: str, corr: str, threads: int) -> None:
    """Be the worker for corrlight."""
    import torch

    from benchmarks.harness.full_size import FullSize
    from benchmarks.harness.worker import serve
    from corrlight.ops.allocator import keep_freed_memory
    from corrlight.structures import Positives

    keep_freed_memory()  # As every run does.
    torch.set_num_threads(threads)
    subject = FullSize(detector, corr)
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


class Worker:
    """A worker process."""

    def __init__(self, command: list[str], threads: int) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
        }
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )
        while (line := self._line()) != "ready":  # libraries may print while they load
            if self.process.poll() is not None:
                raise RuntimeError(f"The worker {shlex.join(command)!r} ended early: {line}")

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, name: str) -> dict:
        """Return the answer to one line."""
        assert self.process.stdin is not None
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        while not (line := self._line()).startswith("{"):
            if self.process.poll() is not None:
                raise RuntimeError(f"The worker ended at {name!r}.")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def busy_seconds() -> float:
    """Return the CPU seconds of all processes since boot."""
    values = [int(v) for v in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(values) - values[3] - values[4]) / os.sysconf("SC_CLK_TCK")


def measure(
    sides: dict[str, Worker],
    action: str,
    iterations: int,
    warmup: int,
    budget: float,
    max_foreign_load: float,
) -> dict[str, dict]:
    """Return the undisturbed seconds of every side, which take turns."""
    kept: dict[str, list[dict]] = {name: [] for name in sides}
    dropped = dict.fromkeys(sides, 0)
    for worker in sides.values():
        for _ in range(warmup):
            worker.ask(action)
    end = time.monotonic() + budget
    while min(map(len, kept.values())) < iterations and time.monotonic() < end:
        for name, worker in sides.items():
            time.sleep(0.05)  # let the threads of the other side go to sleep
            before = busy_seconds()
            seconds = worker.ask(action)
            foreign = busy_seconds() - before - seconds["cpu"]
            if foreign / seconds["wall"] < max_foreign_load:
                kept[name].append(seconds)
            else:
                dropped[name] += 1
    return {name: summary(kept[name], dropped[name]) for name in sides}


def summary(kept: list[dict], dropped: int) -> dict[str, object]:
    """Return medians and the spread."""
    result: dict[str, object] = {"n": len(kept), "dropped": dropped}
    for clock in ("wall", "cpu"):
        values = [seconds[clock] for seconds in kept]
        result[clock] = round(statistics.median(values), 4) if values else None
    walls = [round(seconds["wall"], 4) for seconds in kept]
    result["range"] = [min(walls), max(walls)] if walls else None
    return result


def ratio(ours: dict, theirs: dict) -> float | None:
    """Return the ratio of the medians."""
    if ours["wall"] is None or theirs["wall"] is None:
        return None
    return round(ours["wall"] / theirs["wall"], 3)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detector", default="atss")
    parser.add_argument("--corr", default="concordance")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=6)
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
        work(arguments.detector, arguments.corr, arguments.threads)
        return
    own = [sys.executable, __file__, "--work", "--detector", arguments.detector]
    own += ["--corr", arguments.corr, "--threads", str(arguments.threads)]
    ours = Worker(own, arguments.threads)
    sides = {"ours": ours}
    if arguments.against:
        sides["peer"] = Worker(shlex.split(arguments.against), arguments.threads)
    result: dict[str, object] = {"detector": arguments.detector, "threads": arguments.threads}
    result |= {"corr": arguments.corr} | ours.ask("info")
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
