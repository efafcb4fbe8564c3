"""Draws the figures of docs/losses.md.

python benchmarks/loss_figures.py --out docs/images
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import torch
from scipy.stats import rankdata, spearmanr
from torch import Tensor

from corrlight.losses import (
    alrp_loss,
    ap_loss,
    concordance,
    distribution_focal_loss,
    giou_loss,
    iou_loss,
    l1_loss,
    pearson,
    quality_focal_loss,
    rank_sort_loss,
    sigmoid_focal_loss,
    smooth_l1_loss,
    soft_rank,
    spearman,
    varifocal_loss,
)

SIZES = (20, 200, 2000)


def detector_like(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return ``(n,)`` scores and IoUs as in mid-training, correlated at about 0.4."""
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, n, dtype=torch.float64, generator=generator)
    scores = (-1.5 + 1.4 * a).sigmoid()
    ious = (0.72 + 0.14 * (0.4 * a + 0.84**0.5 * b)).clamp(0.05, 0.98)
    return scores, ious


def reached(n: int, strength: float) -> float:
    """Return the share of positives whose score gets a gradient of the Spearman loss."""
    scores, ious = detector_like(n)
    scores.requires_grad_()
    spearman(scores, ious, regularization_strength=strength).backward()
    assert scores.grad is not None
    size = scores.grad.abs()
    return float((size > 1e-6 * size.max().clamp(min=1e-12)).double().mean())


def spearman_is_pearson(out: Path) -> None:
    """Coefficient, soft ranks and share of positives with gradient against the strength."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    strengths = torch.logspace(-5, 0.5, 60).tolist()
    for k, n in enumerate(SIZES):
        scores, ious = detector_like(n)
        values = [spearman(scores, ious, regularization_strength=e) for e in strengths]
        color = f"C{k}"
        left.semilogx(strengths, values, color=color, label=f"n = {n}")
        left.plot(3.2, pearson(scores, ious), ">", color=color, ms=8, clip_on=False)
        left.plot(1e-5, spearmanr(scores, ious).statistic, "<", color=color, ms=8, clip_on=False)
        # A score in the upper half whose rank the text asks for.
        index = int(scores.argsort()[int(0.8 * n)])
        ranks = [float(soft_rank(scores, e)[index]) / n for e in strengths]
        middle.semilogx(strengths, ranks, color=color)
        middle.plot(1e-5, rankdata(scores)[index] / n, "<", color=color, ms=8, clip_on=False)
        right.semilogx(strengths, [reached(n, e) for e in strengths], color=color)
        affine = 2 * float(scores.max() - scores.min()) / n
        for axes in (left, middle, right):
            axes.axvline(affine, color=color, ls=":", lw=1)
    for axes in (left, middle, right):
        axes.axvline(1.0, color="black", lw=0.8)
        axes.set(xlabel="regularization strength", xlim=(1e-5, 3.2))
        axes.grid(alpha=0.3)
    left.set(title="Spearman (soft), < exact, > Pearson", ylabel="coefficient")
    left.legend(frameon=False)
    middle.set(title="soft rank of the 0.8 quantile, < exact", ylabel="soft rank / n")
    right.set(title="positives with gradient", ylabel="share", ylim=(-0.03, 1.05))
    figure.savefig(out / "spearman_is_pearson.png", dpi=130)


def gradients(out: Path) -> None:
    """What each loss does to the scores of the positives, and to the negatives."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    scores, ious = detector_like(150)
    losses = {
        "concordance": concordance,
        "Pearson = published Spearman": pearson,
        "spearman_rank (0.25)": lambda x, y: spearman(x, y, relative_strength=0.25),
    }
    for k, (name, coefficient) in enumerate(losses.items()):
        leaf = scores.clone().requires_grad_()
        (1 - coefficient(leaf, ious)).backward()
        assert leaf.grad is not None
        # In ranks, IoU above score is a positive that should rise.
        gap = torch.from_numpy(rankdata(ious) - rankdata(scores)) / len(scores)
        pull = -leaf.grad / leaf.grad.abs().max()
        left.plot(gap, pull, "osv"[k], ms=3.5, alpha=0.6, label=name)
    left.axhline(0, color="black", lw=0.6)
    left.set(xlabel="rank of IoU - rank of score (over n)", ylabel="pull on the score (of max)")
    left.set(title="correlation losses: who is pulled up")
    left.legend(frameon=False, fontsize=8)

    generator = torch.Generator().manual_seed(1)
    logits = torch.cat(
        [torch.randn(40, generator=generator) - 2, torch.randn(2000, generator=generator) - 4]
    ).double()
    targets = torch.zeros(2040, dtype=torch.float64)
    targets[:40] = torch.rand(40, generator=generator) * 0.5 + 0.5
    errors = 1 - targets[:40]
    ranking = {
        "AP": lambda x: ap_loss(x, targets),
        "aLRP": lambda x: alrp_loss(x, targets, errors)[0],
        "Rank & Sort": lambda x: torch.stack(rank_sort_loss(x, targets)).sum(),
    }
    for k, (name, loss) in enumerate(ranking.items()):
        leaf = logits.clone().requires_grad_()
        loss(leaf).backward()
        assert leaf.grad is not None
        right.plot(logits[:40], -leaf.grad[:40], "osv"[k], ms=4, color=f"C{k}", label=name)
        order = logits[40:].argsort()
        # Negatives are many: their pull, times ten.
        right.plot(logits[40:][order], -10 * leaf.grad[40:][order], color=f"C{k}", lw=1)
    right.axhline(0, color="black", lw=0.6)
    right.set(
        xlabel="logit", ylabel="pull on the logit", title="ranking losses (lines: negatives, x10)"
    )
    right.legend(frameon=False, fontsize=8)
    figure.savefig(out / "loss_gradients.png", dpi=130)


def dense(out: Path) -> None:
    """Pull of the element-wise losses on a logit, and of the box losses on a box."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    x = torch.linspace(-6, 6, 300, dtype=torch.float64)
    first, background = torch.zeros(300, dtype=torch.long), torch.ones(300, dtype=torch.long)

    def pull(loss: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
        leaf = at.clone().requires_grad_()
        return -torch.autograd.grad(loss(leaf).sum(), leaf)[0]

    for k, quality in enumerate((0.9, 0.5)):
        target = torch.full((300, 1), quality, dtype=torch.float64)
        for name, style, loss in (
            ("QFL", "-", lambda v, q=target: quality_focal_loss(v[:, None], first, q[:, 0])),
            ("VFL", "--", lambda v, q=target: varifocal_loss(v[:, None], q, reduction="sum") / 300),
        ):
            left.plot(x, 300 * pull(loss, x), style, color=f"C{k}", label=f"{name}, IoU {quality}")
        left.axvline(torch.tensor(quality).logit(), color=f"C{k}", ls=":", lw=1)
    left.plot(
        x,
        pull(lambda v: sigmoid_focal_loss(v[:, None], first, reduction="sum"), x),
        color="black",
        label="focal",
    )
    left.set(title="positives (dotted: score = IoU)", xlabel="logit", ylabel="pull on the logit")
    zeros = torch.zeros(300, dtype=torch.float64)
    for name, style, loss in (
        ("focal", "-", lambda v: sigmoid_focal_loss(v[:, None], background, reduction="sum")),
        ("QFL", "-", lambda v: quality_focal_loss(v[:, None], background, zeros, reduction="sum")),
        ("VFL", "--", lambda v: varifocal_loss(v[:, None], zeros[:, None], reduction="sum")),
    ):
        color = "black" if name == "focal" else "C2"
        middle.plot(x, pull(loss, x), style, color=color, label=name)
    middle.set(title="negatives", xlabel="logit", ylabel="pull on the logit")

    shift = torch.linspace(-60, 60, 300, dtype=torch.float64)
    target = torch.tensor([0.0, 0, 40, 40], dtype=torch.float64).expand(300, 4)

    def moved(v: Tensor) -> Tensor:
        return target + torch.stack([v, 0 * v, v, 0 * v], 1)

    for name, loss in (
        ("IoU", lambda v: 40 * iou_loss(moved(v), target, reduction="sum")),
        ("GIoU", lambda v: 40 * giou_loss(moved(v), target, reduction="sum")),
        ("L1, of edges / 20", lambda v: l1_loss(moved(v), target, reduction="sum") / 2),
        (
            "smooth L1, the same",
            lambda v: 10 * smooth_l1_loss(moved(v) / 20, target / 20, reduction="sum"),
        ),
    ):
        right.plot(shift, pull(loss, shift), label=name)
    # Bins take the place of a coordinate: the pull on the bins below and above a label of 1.3.
    bins = torch.zeros(1, 4, dtype=torch.float64)
    label = torch.tensor([1.3], dtype=torch.float64)
    bars = pull(lambda v: distribution_focal_loss(v, label, reduction="sum"), bins)[0]
    inset = right.inset_axes((0.66, 0.66, 0.32, 0.26))
    inset.bar(range(4), bars, color="C4")
    inset.set_title("DFL on bins, label 1.3", fontsize=7)
    inset.tick_params(labelsize=6)
    right.set(title="boxes of 40 pixels", xlabel="shift (pixels)", ylabel="pull on the shift")
    for axes in (left, middle, right):
        axes.axhline(0, color="black", lw=0.6)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=7, loc="lower left" if axes is right else "best")
    figure.savefig(out / "dense_gradients.png", dpi=130)


def main() -> None:
    """Draw all figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    spearman_is_pearson(out)
    gradients(out)
    dense(out)


if __name__ == "__main__":
    main()
