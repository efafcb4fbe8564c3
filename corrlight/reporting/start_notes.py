"""What the summary of a start says about how the options fit the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from corrlight.data.fitting.anchor_fit import UNFIT, anchor_fit, anchor_shapes

if TYPE_CHECKING:
    from corrlight.engine.prepare import Run

__all__ = ["anchor_note", "size_note", "start_notes", "warmup_note"]

# Share of objects below every anchor from which a warning says so.
_TOO_SMALL = 0.5


def start_notes(run: Run) -> Iterator[tuple[str, str]]:
    """Yield labels and lines for the table of a run that starts."""
    yield "picture size", size_note(run.data)
    workers, asked = run.data.usable_workers, run.data.num_workers
    fewer = f" of {asked}, as many as there are CPUs" if workers < asked else ""
    yield "loader", f"{workers} processes{fewer}" if workers else "no processes of its own"
    note = anchor_note(run.data, run.module.detector)
    if note:
        yield "anchors", note
    note = warmup_note(run.config, run.data.num_train_images)
    if note:
        yield "warm-up", note


def size_note(data: Any) -> str:
    """Return how large the pictures of evaluation are, as files and for the network."""
    before, after = data.picture_sizes()
    longest = before.max(1), after.max(1)
    text = " to ".join(dict.fromkeys(str(int(f(longest[1]))) for f in (min, max)))
    text += " pixels, longer side"
    larger, smaller = (after > before).any(1).mean(), (after < before).any(1).mean()
    if larger:
        return f"{text}; {larger:.0%} of the pictures enlarged"
    return f"{text}; {smaller:.0%} of the pictures shrunk" if smaller else f"{text}, as they are"


def anchor_note(data: Any, detector: Any) -> str | None:
    """Return how well the anchors fit the training objects, None for detectors without."""
    grid = getattr(detector, "anchors", None)
    if grid is None:
        return None
    shapes, strides = anchor_shapes(grid.strides, grid.sizes, grid.scales, grid.ratios)
    fit = anchor_fit(data.train_object_sizes(), shapes, strides)
    if fit.unfit is None or fit.too_small is None:
        return None
    edges = shapes.prod(1) ** 0.5
    text = f"{edges.min():.0f} to {edges.max():.0f} pixels, none fits {fit.unfit:.0%} of objects"
    if fit.unfit < UNFIT:
        return text
    if fit.too_small > _TOO_SMALL:
        text += f", {fit.too_small:.0%} are smaller than any"
    return (
        f"{text}. WARNING: detector.net.anchor_scale=auto (yolact: anchor_sizes=auto) takes them "
        "from the data, a larger data.size= enlarges small objects"
    )


def warmup_note(config: Any, num_images: int) -> str | None:
    """Return a warning where the rate is still rising for more than half of the run."""
    warmup = (config.schedule.get("scheduler") or {}).get("warmup_steps", 0)
    trainer = config.trainer
    batch = config.data.batch_size * trainer.accumulate_grad_batches
    steps = -(-num_images // batch) * trainer.max_epochs
    warmup = warmup * steps if warmup < 1 else warmup
    if warmup * 2 <= steps:
        return None
    ends = "never ends" if warmup >= steps else "takes more than half"
    return (
        f"{warmup:.0f} steps in a run of {steps}. WARNING: it {ends}; "
        "schedule.scheduler.warmup_steps=0.1 is a tenth of the run"
    )
