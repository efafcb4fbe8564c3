"""Times of the losses as ratios, each measured in one run.

    python benchmarks/losses.py                 # all ratios
    python benchmarks/losses.py soft_rank       # one part: focal, soft_rank, ranking, curve
    python benchmarks/losses.py curve --out docs/images

Every ratio is a median of alternating runs, forward + backward, float32, 2 threads on CPU, or on a
GPU with ``--device cuda``.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from corrlight.losses import alrp_loss, rank_sort_loss, sigmoid_focal_loss, soft_rank

Run = Callable[[], object]


def timed(run: Run) -> float:
    """Return the seconds that one call takes."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def compare(ours: Run, theirs: Run, repeats: int) -> tuple[float, float]:
    """Return the median seconds of both, run in turns."""
    ours(), theirs()
    pairs = [(timed(ours), timed(theirs)) for _ in range(repeats)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def report(what: str, ours: float, theirs: float, than: str) -> dict[str, object]:
    """Print one line and return it as a record."""
    print(
        f"{what:58s} {ours * 1e3:10.2f} ms   {than} {theirs * 1e3:10.2f} ms   "
        f"ratio {ours / theirs:6.3f}"
    )
    return {"what": what, "seconds": ours, "other": than, "other_seconds": theirs}


def leaf(values: Tensor, device: str) -> Tensor:
    """Return a leaf with gradient on the device."""
    return values.to(device).requires_grad_()


def backward(loss: Tensor | tuple[Tensor, ...], *leaves: Tensor) -> None:
    """Run backward and drop the gradients."""
    total = loss if isinstance(loss, Tensor) else torch.stack(loss).sum()
    total.backward()
    for each in leaves:
        each.grad = None


def focal(device: str) -> list[dict[str, object]]:
    """Focal loss against torchvision's with a one-hot target."""
    from torchvision.ops import sigmoid_focal_loss as dense

    logits = leaf(torch.randn(22_000, 80) - 4, device)
    labels = torch.full((22_000,), 80, device=device)
    labels[::300] = 3

    def ours() -> None:
        backward(sigmoid_focal_loss(logits, labels, reduction="sum"), logits)

    def theirs() -> None:
        target = torch.nn.functional.one_hot(labels, 81)[:, :80].to(logits.dtype)
        backward(dense(logits, target, reduction="sum"), logits)

    return [report("focal loss, 22,000 x 80", *compare(ours, theirs, 15), "torchvision")]


def soft_ranks(device: str) -> list[dict[str, object]]:
    """Soft rank against torchsort; the worst of three strengths is what counts."""
    if importlib.util.find_spec("torchsort") is None:
        print("soft_rank: torchsort is not installed, nothing to compare with")
        return []
    import torchsort

    rows = []
    for n in (100, 1000, 2000, 5000, 20_000):
        values = leaf(torch.rand(1, n), device)
        for name, strength in (("1", 1.0), ("1/n", 1 / n), ("0.1/n", 0.1 / n)):

            def ours(values: Tensor = values, strength: float = strength) -> None:
                backward(soft_rank(values, strength).square().sum(), values)

            def theirs(values: Tensor = values, strength: float = strength) -> None:
                ranks = torchsort.soft_rank(values, regularization_strength=strength)
                backward(ranks.square().sum(), values)

            times = compare(ours, theirs, 41)
            rows.append(report(f"soft_rank, n = {n}, strength {name}", *times, "torchsort"))
    return rows


def ranking_case(
    num_pos: int, num_neg: int, stage: str, device: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits, IoU targets and regression losses as in training."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(num_pos + num_neg, generator=generator)
    if stage == "mid":
        logits = noise - 4
        logits[:num_pos] = noise[:num_pos] - 2
    else:
        logits = -4.6 + 0.1 * (2 * torch.rand(num_pos + num_neg, generator=generator) - 1)
    targets = torch.zeros(num_pos + num_neg)
    targets[:num_pos] = torch.rand(num_pos, generator=generator) * 0.5 + 0.5
    errors = torch.rand(num_pos, generator=generator)
    return leaf(logits, device), targets.to(device), errors.to(device)


def rank_sort_loop(logits: Tensor, targets: Tensor, delta: float = 0.5) -> Tensor:
    """Return the gradient of Rank & Sort by a loop over the positives, against all negatives."""
    positive = targets > 0
    s, t = logits[positive].detach(), targets[positive]
    reach = (targets == 0) & (logits >= s.min() - delta)
    negatives = logits[reach].detach()
    to_positives, to_negatives = torch.zeros_like(s), torch.zeros_like(negatives)
    for i in range(len(s)):
        among = ((s - s[i]) / (2 * delta) + 0.5).clamp(0, 1)
        above = ((negatives - s[i]) / (2 * delta) + 0.5).clamp(0, 1)
        rank, false = among.sum(), above.sum()
        error = false / (rank + false)
        better = t >= t[i]
        current = (among * (1 - t)).sum() / rank
        sorting = current - (among * better * (1 - t)).sum() / (among * better).sum()
        if false > 1e-10:
            to_positives[i] -= error
            to_negatives += above * (error / false)
        worse = among * ~better
        total = worse.sum()
        if total > 1e-10:
            to_positives[i] -= sorting
            to_positives += worse * (sorting / total)
    gradient = torch.zeros_like(logits)
    gradient[positive], gradient[reach] = to_positives / len(s), to_negatives / len(s)
    return gradient


def alrp_loop(logits: Tensor, targets: Tensor, errors: Tensor, delta: float = 1.0) -> Tensor:
    """Return the gradient of aLRP by a loop over the positives, against all negatives."""
    positive = targets > 0
    s = logits[positive].detach()
    reach = (targets == 0) & (logits >= s.min() - delta)
    negatives = logits[reach].detach()
    to_positives, to_negatives = torch.zeros_like(s), torch.zeros_like(negatives)
    for i in range(len(s)):
        among = ((s - s[i]) / (2 * delta) + 0.5).clamp(0, 1)
        among[i] = 0
        above = ((negatives - s[i]) / (2 * delta) + 0.5).clamp(0, 1)
        false = above.sum()
        rank = 1 + among.sum() + false
        if false > 1e-5:
            error = ((among * errors).sum() + false) / rank
            to_positives[i] -= error
            to_negatives += above * (error / false)
    gradient = torch.zeros_like(logits)
    gradient[positive], gradient[reach] = to_positives / len(s), to_negatives / len(s)
    return gradient


def ranking(device: str) -> list[dict[str, object]]:
    """Rank & Sort and aLRP against loops over the positives: time and largest difference."""
    return [row for stage in ("mid", "start") for row in ranking_stage(stage, device)]


def ranking_stage(stage: str, device: str) -> list[dict[str, object]]:
    """Return the two rows of one stage of training."""
    logits, targets, errors = ranking_case(1000, 200_000, stage, device)
    plain, exact = logits.detach(), logits.detach().double()

    def rank_sort() -> Tensor:
        return torch.stack(rank_sort_loss(logits, targets)).sum()

    def alrp() -> Tensor:
        return alrp_loss(logits, targets, errors)[0]

    rows = []
    for name, loss, loop, exact_gradient in (
        (
            "Rank & Sort",
            rank_sort,
            lambda: rank_sort_loop(plain, targets),
            rank_sort_loop(exact, targets.double()),
        ),
        (
            "aLRP",
            alrp,
            lambda: alrp_loop(plain, targets, errors),
            alrp_loop(exact, targets.double(), errors.double()),
        ),
    ):
        times = compare(functools.partial(backward_of, loss, logits), loop, 3)
        row = report(f"{name}, P = 1000, N = 200,000, {stage} of training", *times, "loop")
        (gradient,) = torch.autograd.grad(loss(), logits)
        for key, other in (("gradient_error", gradient), ("loop_gradient_error", loop())):
            row[key] = float((other - exact_gradient).abs().max() / exact_gradient.abs().max())
        print(
            f"    largest error of the gradient, of the largest: {row['gradient_error']:.1e} "
            f"(the loop's in float32: {row['loop_gradient_error']:.1e})"
        )
        rows.append(row)
    return rows


def backward_of(loss: Callable[[], Tensor], logits: Tensor) -> None:
    """Evaluate a loss and run backward."""
    backward(loss(), logits)


def extra_memory(num_pos: int, num_neg: int, device: str, threads: int) -> float:
    """Return the MB that Rank & Sort needs beyond its input, measured in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_extra_memory, (num_pos, num_neg, device, threads))


def _extra_memory(num_pos: int, num_neg: int, device: str, threads: int) -> float:
    torch.set_num_threads(threads)
    small = ranking_case(100, 1000, "mid", device)
    backward(rank_sort_loss(*small[:2]), small[0])  # what loads with the first call
    logits, targets, _ = ranking_case(num_pos, num_neg, "mid", device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        backward(rank_sort_loss(logits, targets), logits)
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    backward(rank_sort_loss(logits, targets), logits)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3


def curve(device: str, out: Path) -> list[dict[str, object]]:
    """Seconds and memory of Rank & Sort for growing N and P, as a picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    rows: list[dict[str, object]] = []
    for num_pos, num_neg in [(1000, n) for n in (20_000, 63_000, 200_000, 630_000, 2_000_000)] + [
        (p, 200_000) for p in (5000, 20_000)
    ]:
        logits, targets, _ = ranking_case(num_pos, num_neg, "mid", device)

        def run(logits: Tensor = logits, targets: Tensor = targets) -> None:
            backward(rank_sort_loss(logits, targets), logits)

        memory = extra_memory(num_pos, num_neg, device, torch.get_num_threads())
        run()
        seconds = statistics.median(timed(run) for _ in range(3))
        print(f"Rank & Sort, P = {num_pos}, N = {num_neg}: {seconds:.3f} s, +{memory:.0f} MB")
        rows.append({"P": num_pos, "N": num_neg, "seconds": seconds, "extra_mb": memory})
    figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
    part = [row for row in rows if row["P"] == 1000]
    sizes = torch.tensor([float(str(row["N"])) for row in part])
    seconds = torch.tensor([float(str(row["seconds"])) for row in part])
    axes.loglog(sizes, seconds, "o-", label="Rank & Sort, P = 1000")
    axes.loglog(
        sizes, seconds[2] * sizes * sizes.log() / (sizes[2] * sizes[2].log()), ":", label="N log N"
    )
    axes.set(xlabel="negatives N", ylabel="seconds, forward + backward")
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "ranking_cost.png", dpi=130)
    return rows


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parts = ("focal", "soft_rank", "ranking", "curve")
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help="default: all but curve")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--json", type=Path, default=None, help="also write the records here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    records: dict[str, object] = {}
    for part in options.parts or parts[:3]:
        if part == "curve":
            records[part] = curve(options.device, options.out)
        else:
            function = {"focal": focal, "soft_rank": soft_ranks, "ranking": ranking}[part]
            records[part] = function(options.device)
    if options.json is not None:
        options.json.write_text(json.dumps(records, indent=1))


if __name__ == "__main__":
    main()
