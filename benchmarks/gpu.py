r"""Images a second and memory of every detector on a GPU, and what the correlation loss costs.

    python -m benchmarks.gpu                                     # all of it, about an hour
    python -m benchmarks.gpu --detectors atss --batch-sizes 2 --precisions bf16 --out atss.md
    python -m benchmarks.gpu --device cpu --size 256 320 --batch-sizes 1 --turns 3

Training iterations with and without the loss (concordance) take turns on one model; a number is the
median of the turns after two that do not count. Waits are operators of one training step whose
result the host reads (`harness/host_waits.py`), without the loss, and what the loss adds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness.full_size import DETECTORS, FullSize
from benchmarks.harness.host_waits import HostWaits
from corrlight.engine.compiled import compile_parts

PRECISIONS = ("fp32", "tf32", "bf16")
_WARM_UP = 2


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured of one detector in one setting; None where there was no memory for it.

    Attributes:
        detector: Its name.
        batch_size: Images of an iteration.
        precision: One of ``PRECISIONS``.
        compiled: Whether the detector was compiled.
        train: Images a second in training, with the correlation loss.
        infer: Images a second from images to detections.
        memory: Peak of the training in GB; None on CPU, too.
        share: What the correlation loss takes of the time of a training iteration.
        waits: Waits for the device of a training step without it.
        own_waits: What it adds to them.
    """

    detector: str
    batch_size: int
    precision: str
    compiled: bool
    train: float | None = None
    infer: float | None = None
    memory: float | None = None
    share: float | None = None
    waits: int | None = None
    own_waits: int | None = None


class Subject:
    """A detector in one setting.

    Args:
        options: Of the command line.
        detector: Its name.
        batch_size: Images of an iteration.
        precision: One of ``PRECISIONS``.
        compiled: Whether to compile the detector.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        detector: str,
        batch_size: int,
        precision: str,
        compiled: bool,
    ) -> None:
        self.device = torch.device(options.device)
        self.precision = precision
        self.work = FullSize(
            detector, "concordance", [batch_size], options.options, tuple(options.size)
        )
        module = self.work.module.to(self.device)
        batch = self.work.batches[batch_size].to(self.device)
        if options.channels_last:
            module = module.to(memory_format=torch.channels_last)
        self.work.batches[batch_size] = batch
        self.losses = module.loss_callbacks
        if compiled:
            compile_parts(module.detector)
        self.batch_size = batch_size

    def train(self, corr: bool) -> None:
        """Make a training iteration."""
        self.work.module.loss_callbacks = self.losses if corr else {}
        with self._settings():
            self.work.train(self.batch_size)

    def infer(self) -> None:
        """Go from images to detections."""
        with self._settings():
            self.work.infer(self.batch_size)

    def seconds(self, action: Callable[[], None]) -> float:
        """Return how long an action takes, until the device is done."""
        self._wait()
        started = time.perf_counter()
        action()
        self._wait()
        return time.perf_counter() - started

    def waits(self, corr: bool) -> int:
        """Return the waits of one training step, not counting the benchmark's own."""
        with HostWaits() as waits:
            self.train(corr)
        return waits.total - 1  # FullSize.train reads the loss

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @contextlib.contextmanager
    def _settings(self) -> Iterator[None]:
        tf32 = self.precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        if self.precision != "bf16":
            yield
            return
        with torch.autocast(self.device.type, torch.bfloat16):
            yield


def measure(options: argparse.Namespace, **setting: Any) -> Row:
    """Return the row of one setting."""
    on_gpu = options.device != "cpu"
    try:
        subject = Subject(options, **setting)
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        with_loss, without, infer = [], [], []
        for turn in range(_WARM_UP + options.turns):
            times = [
                subject.seconds(lambda: subject.train(True)),
                subject.seconds(lambda: subject.train(False)),
            ]
            if turn >= _WARM_UP:
                with_loss.append(times[0])
                without.append(times[1])
        memory = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else None
        for turn in range(_WARM_UP + options.turns):
            seconds = subject.seconds(subject.infer)
            if turn >= _WARM_UP:
                infer.append(seconds)
        waits = own = None
        if not setting["compiled"]:  # modes that count operators do not see compiled ones
            waits = subject.waits(False)
            own = subject.waits(True) - waits
    except torch.OutOfMemoryError:
        return Row(**setting)
    number, plain = setting["batch_size"], statistics.median(without)
    return Row(
        **setting,
        train=number / statistics.median(with_loss),
        infer=number / statistics.median(infer),
        memory=memory,
        share=statistics.median(with_loss) / plain - 1,
        waits=waits,
        own_waits=own,
    )


def table(rows: Sequence[Row], device: str) -> str:
    """Return the rows in Markdown."""
    lines = [
        f"{device}, torch {torch.__version__}",
        "",
        "| detector | batch | precision | compiled | training, images/s | inference, images/s | GB "
        "| loss, % of a step | waits | of the loss |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        share = None if row.share is None else 100 * row.share
        cells = [row.detector, row.batch_size, row.precision, "yes" if row.compiled else "no"]
        cells += [_number(row.train, 1), _number(row.infer, 1), _number(row.memory, 2)]
        cells += [_number(share, 1), _number(row.waits, 0), _number(row.own_waits, 0)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def device_name(device: str) -> str:
    """Return the name of the card, or "CPU"."""
    return "CPU" if device == "cpu" else torch.cuda.get_device_name(torch.device(device))


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options.

    Raises:
        SystemExit: If they are wrong, or the device is not there.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, ..., or cpu")
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument("--size", nargs=2, type=int, default=[800, 1333], metavar=("H", "W"))
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[2, 4, 8, 16])
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--compiled", nargs="+", choices=("no", "yes"), default=["no", "yes"])
    parser.add_argument("--channels-last", action="store_true", help="of the weights of maps")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--out", type=Path, help="a file for the table; beside it one .json")
    parser.add_argument("--options", nargs="+", default=[], help="of run.py, to try it out small")
    options = parser.parse_args(argv)
    if options.device != "cpu" and not torch.cuda.is_available():
        parser.error("Expected a GPU, but there is none (--device cpu tries the command out).")
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print; what is measured is written after every row."""
    options = parse(argv)
    rows: list[Row] = []
    text = ""
    for detector in options.detectors:
        for precision in options.precisions:
            for compiled in options.compiled:
                for number in options.batch_sizes:
                    rows.append(
                        measure(
                            options,
                            detector=detector,
                            batch_size=number,
                            precision=precision,
                            compiled=compiled == "yes",
                        )
                    )
                    torch.compiler.reset()
                    text = table(rows, device_name(options.device))
                    print(text.splitlines()[-1], flush=True)
                    if options.out is not None:
                        options.out.write_text(text)
                        content = json.dumps([asdict(row) for row in rows], indent=1)
                        options.out.with_suffix(".json").write_text(content)
    print(text)


if __name__ == "__main__":
    main()
