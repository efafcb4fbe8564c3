r"""What every fast operator gains: seconds without it over seconds with all of them, on CPU.

    python -m benchmarks.operators --detector atss --out atss.json
    python -m benchmarks.operators --table *.json

One process holds the full-size model and runs training iterations and inferences with everything
on, with one operator off after the other, and with everything off, in turn. What the C library is
told for a whole process (``allocator``) is off in a second process that takes its turns. Peak
memory is that one's, whose freed memory goes back to the system.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks.harness.full_size import DETECTORS, FullSize
from benchmarks.harness.turns import Worker, busy_seconds
from benchmarks.harness.worker import serve
from corrlight.ops.allocator import keep_freed_memory
from corrlight.ops.switch import OPERATORS, fast_ops

# Detectors that run an operator, where not all do, and operators that inference does not run.
_ONLY_IN = {
    "adam": ("sparse_rcnn", "detr", "deformable_detr"),
    "deform_conv": ("vfnet",),
    "dropout": ("detr",),
    "linear": ("sparse_rcnn", "detr", "deformable_detr"),
    "roi_align": ("sparse_rcnn",),
    "sample_levels": ("deformable_detr",),
    "pyramid_conv": tuple(name for name in DETECTORS if name != "detr"),
}
# Beside the seven: the operators that these alone run.
_OTHERS = ("vfnet", "deformable_detr")
_TRAINING_ONLY = ("adam", "dropout")
_ALL, _NONE = "all", "none"


def sides(detector: str, action: str) -> list[str]:
    """Return what is compared: everything, all but one operator, and nothing."""
    used = [
        name
        for name in OPERATORS
        if detector in _ONLY_IN.get(name, (detector,))
        and (action == "train" or name not in _TRAINING_ONLY)
    ]
    return [_ALL, *used, _NONE]


def work(detector: str, batch_sizes: list[int], keeps_memory: bool, options: list[str]) -> None:
    """Be the worker of one detector."""
    if keeps_memory:
        assert keep_freed_memory()
    subject = FullSize(detector, "concordance", batch_sizes, options)
    actions: dict[str, Callable[[], Mapping[str, object] | None]] = {}
    for name, method in subject.actions().items():
        for side in (_ALL, *OPERATORS, _NONE):
            on = () if side == _NONE else tuple(o for o in OPERATORS if o != side)
            actions[f"{name} {side}"] = _timed(method, on)
            actions[f"peak {name} {side}"] = _weighed(method, on)
    serve(actions)


def _timed(method: Callable[[], None], on: Iterable[str]) -> Callable[[], None]:
    def run() -> None:
        with fast_ops(on):
            method()

    return run


def _weighed(method: Callable[[], None], on: Iterable[str]) -> Callable[[], Mapping[str, object]]:
    def run() -> Mapping[str, object]:
        with fast_ops(on):
            method()  # What is made once is there afterwards.
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")  # The peak is the present from here on.
            method()
            status = Path("/proc/self/status").read_text()
        (line,) = (text for text in status.splitlines() if text.startswith("VmHWM"))
        return {"peak_mb": round(int(line.split()[1]) / 1024)}

    return run


def measure(workers: Mapping[bool, Worker], detector: str, arguments: argparse.Namespace) -> list:
    """Return one record for every action, batch size and side."""
    records = []
    for action in arguments.actions:
        for batch in arguments.batch:
            names = sides(detector, action)
            kept, dropped = _seconds(workers, f"{action} {batch}", names, arguments)
            for side in names:
                record = {"detector": detector, "action": action, "batch": batch, "side": side}
                if side != "allocator":
                    record |= workers[False].ask(f"peak {action} {batch} {side}")
                walls = kept[side]
                record |= {"n": len(walls), "dropped": dropped[side], "wall": None}
                if walls:
                    record["wall"] = round(statistics.median(walls), 4)
                    record["range"] = [round(min(walls), 4), round(max(walls), 4)]
                records.append(record)
            print(f"{detector} {action} {batch}: {summary(records[-len(names) :])}", flush=True)
    return records


def _seconds(
    workers: Mapping[bool, Worker], name: str, names: list[str], arguments: argparse.Namespace
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Return the undisturbed seconds of the sides, which take turns, and how many were not."""
    kept: dict[str, list[float]] = {side: [] for side in names}
    dropped = dict.fromkeys(names, 0)
    for turn in range(arguments.warmup + arguments.turns):
        # Each begins in what another one left behind: it should not always be the same.
        start = turn % len(names)
        for side in names[start:] + names[:start]:
            worker = workers[side != "allocator"]
            time.sleep(0.05)  # let the threads of the other process go to sleep
            before = busy_seconds()
            seconds = worker.ask(f"{name} {side}")
            foreign = busy_seconds() - before - seconds["cpu"]
            if turn < arguments.warmup:
                continue
            if foreign / seconds["wall"] < arguments.max_foreign_load:
                kept[side].append(seconds["wall"])
            else:
                dropped[side] += 1
    return kept, dropped


def summary(records: Iterable[Mapping]) -> str:
    """Return the ratios of one action in one line."""
    walls = {r["side"]: r["wall"] for r in records}
    base = walls[_ALL]
    ratios = {s: round(w / base, 3) if w and base else None for s, w in walls.items() if s != _ALL}
    return f"{base} s; without {ratios}"


def table(records: list[dict]) -> str:
    """Return Markdown: for every action and batch the time, and the memory, without over with."""
    lines: list[str] = []
    for action, batch in dict.fromkeys((r["action"], r["batch"]) for r in records):
        own = [r for r in records if (r["action"], r["batch"]) == (action, batch)]
        used = [name for name in (*OPERATORS, _NONE) if name in {r["side"] for r in own}]
        lines += ["", f"**{action}, batch {batch}**", ""]
        lines += [f"| detector | s, MB | {' | '.join(used)} |", "|---" * (len(used) + 2) + "|"]
        for detector in dict.fromkeys(r["detector"] for r in own):
            found = {r["side"]: r for r in own if r["detector"] == detector}
            base = found[_ALL]
            first = f"{base['wall']:.3f}, {base['peak_mb']}"
            cells = [_cell(found.get(name), base) for name in used]
            lines.append(f"| {detector} | {first} | {' | '.join(cells)} |")
    return "\n".join(lines).strip()


def _cell(record: Mapping | None, base: Mapping) -> str:
    """Return the ratio of the times and the difference of the memories, a dash without a record."""
    if record is None or record["wall"] is None:
        return "-"
    ratio = f"{record['wall'] / base['wall']:.2f}"
    if "peak_mb" not in record:
        return ratio
    return f"{ratio} ({record['peak_mb'] - base['peak_mb']:+d})"


def main() -> None:
    """Measure one detector, or print the table of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detector", choices=(*DETECTORS, *_OTHERS), default="atss")
    parser.add_argument(
        "--actions", nargs="+", choices=("train", "infer"), default=["train", "infer"]
    )
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--warmup", type=int, default=1, help="turns that do not count")
    parser.add_argument(
        "--max-foreign-load",
        type=float,
        default=0.12,
        help="drop iterations during which other processes used more of one core than this",
    )
    parser.add_argument("--option", action="append", default=[], help="another option of the model")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", nargs="+", type=Path, help="files of --out to print")
    parser.add_argument("--work", choices=("keeps", "returns"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.table:
        print(table([r for path in arguments.table for r in json.loads(path.read_text())]))
        return
    if arguments.work:
        keeps = arguments.work == "keeps"
        work(arguments.detector, arguments.batch, keeps, arguments.option)
        return
    os.environ.pop("CORRLIGHT_FAST_CPU", None)
    command = [sys.executable, "-m", "benchmarks.operators", "--detector", arguments.detector]
    command += ["--batch", *map(str, arguments.batch)]
    command += [f"--option={option}" for option in arguments.option]
    workers = {
        keeps: Worker([*command, "--work", "keeps" if keeps else "returns"], arguments.threads)
        for keeps in (True, False)
    }
    records = measure(workers, arguments.detector, arguments)
    for worker in workers.values():
        worker.close()
    if arguments.out:
        arguments.out.write_text(json.dumps(records, indent=1) + "\n")
    print(table(records))


if __name__ == "__main__":
    main()
