"""Draws the figures of docs/losses.md.

python benchmarks/loss_figures.py --out docs/images
"""

from __future__ import annotations

import argparse
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
    pearson,
    rank_sort_loss,
    soft_rank,
    spearman,
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


def main() -> None:
    """Draw all figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    spearman_is_pearson(out)
    gradients(out)


if __name__ == "__main__":
    main()
