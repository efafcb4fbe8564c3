"""What a table would run, and what that costs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from experiments.harness.row import Row
from experiments.harness.running import Plan, lacks_test, options_of_test

__all__ = ["dry_run", "gpu_hours", "problems"]

# Images of train2017 with at least one object.
_COCO_IMAGES = 117266


def gpu_hours(row: Row, config: dict[str, Any]) -> float:
    """Return the estimated GPU hours (V100) of one run on COCO.

    Sparse R-CNN's 0.50 seconds an iteration of 4 x 4 images is the thesis' (section 5.5.3); the
    others are scaled from it (``experiments/harness/setting.py``), so expect a factor of two.
    """
    data, trainer = config["data"], config["trainer"]
    images = min(data.get("max_train_images") or _COCO_IMAGES, _COCO_IMAGES)
    limit = trainer["limit_train_batches"]
    if isinstance(limit, int):
        images = min(images, limit * data["batch_size"])
    elif limit is not None:
        images = round(images * limit)
    return float(images * trainer["max_epochs"] * row.setting.gpu_seconds / 3600)


def dry_run(plans: Sequence[Plan], toy: bool) -> str:
    """Return the commands of some tables with their state and cost; a shared run counts once.

    The commands can be pasted into a shell. A run whose measures need a test has that as well;
    a test takes minutes and is not in the cost.
    """
    lines = []
    seen: set[str] = set()
    tests: set[str] = set()
    total = 0.0
    counts = {"finished": 0, "to resume": 0, "to run": 0}
    unit = "minutes on one CPU thread" if toy else "GPU hours"
    for plan in plans:
        lines.append(f"{plan.table.name}: {plan.table.title}")
        pairs = [(row, run) for row in plan.table.rows for run in plan.runs[row.key]]
        for row, run in pairs:
            # Without data there is no run id; equal options are then the same run.
            identity = str(run.folder) if run.folder is not None else " ".join(run.options)
            again = identity in seen
            seen.add(identity)
            state = "finished" if run.finished else "to resume" if run.started else "to run"
            there = "" if state == "to run" else f" ({run.folder})"
            cost = row.setting.toy_minutes if toy else gpu_hours(row, run.config)
            remark = ""
            test = lacks_test(plan.table, run) or (plan.table.tested and not run.finished)
            if test:
                tests.add(identity)
                remark = ", its test is to run" if run.finished else ", then its test"
            if again:
                lines.append(f"# {row.key}: the same run as above{remark}")
            else:
                counts[state] += 1
                if not run.finished:
                    total += cost
                    remark += f", about {_rounded(cost)} {unit}"
                lines.append(f"# {row.key}: {state}{there}{remark}")
            lines.append(_command(run.options))
            if test and run.folder is not None:
                lines.append(_command(options_of_test(run)))
    done = ", ".join(f"{count} {state}" for state, count in counts.items())
    done += f", {len(tests)} to test" if tests else ""
    lines.append(f"{len(seen)} runs: {done}; about {_rounded(total)} {unit} to go")
    lines += [f"note: {problem}" for problem in problems(plans)]
    return "\n".join(lines)


def _rounded(cost: float) -> str:
    return f"{cost:.1f}" if cost < 10 else f"{cost:.0f}"


def _command(options: Sequence[str]) -> str:
    return f"python run.py {shlex.join(options)}"


def problems(plans: Sequence[Plan]) -> list[str]:
    """Return why run folders cannot be named, which is that data are missing; each once."""
    everything = (run for plan in plans for runs in plan.runs.values() for run in runs)
    return sorted({run.problem for run in everything if run.problem})
