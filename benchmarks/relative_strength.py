"""Which strength the ranking Spearman loss needs: the table behind its default.

    python benchmarks/relative_strength.py                          # synthetic scores
    python benchmarks/relative_strength.py runs/NAME/ID [...]       # positives of trained detectors

Prints, for every strength in multiples of (max - min) / n, the largest distance to SciPy's rank
correlation, the share of draws beyond 0.02, and the mean share of positives with a gradient.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from scipy.stats import spearmanr
from torch import Tensor

from corrlight.losses import spearman

STRENGTHS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.5)
# Mean and deviation of the logits of positives.
REGIMES = {
    "N(-1.5, 1.4)": (-1.5, 1.4),
    "N(-2, 1.5)": (-2.0, 1.5),
    "N(-5, 0.7)": (-5.0, 0.7),
    "N(0, 1.7), near uniform": (0.0, 1.7),
}
Pair = tuple[Tensor, Tensor]


def draws(mean: float, deviation: float, n: int, count: int) -> list[Pair]:
    """Return ``(n,)`` scores and IoUs that correlate at about 0, 0.3 and 0.6 in turn."""
    pairs = []
    for k in range(count):
        generator = torch.Generator().manual_seed(77 * k + n)
        a, b = torch.randn(2, n, dtype=torch.float64, generator=generator)
        rho = (0.0, 0.3, 0.6)[k % 3]
        ious = (0.72 + 0.14 * (rho * a + (1 - rho**2) ** 0.5 * b)).clamp(0.05, 0.98)
        pairs.append(((mean + deviation * a).sigmoid(), ious))
    return pairs


def measure(pairs: Sequence[Pair], strength: float) -> tuple[float, float, float]:
    """Return largest error, share of errors above 0.02 and mean share with a gradient."""
    errors, shares = [], []
    for scores, ious in pairs:
        leaf = scores.double().clone().requires_grad_()
        value = spearman(leaf, ious.double(), relative_strength=strength)
        size = torch.autograd.grad(value, leaf)[0].abs()
        errors.append(abs(value.item() - spearmanr(scores, ious).statistic))
        shares.append((size > 1e-6 * size.max()).double().mean().item())
    beyond = sum(error > 0.02 for error in errors)
    return max(errors), beyond / len(errors), sum(shares) / len(shares)


def of_run(folder: Path, num_batches: int = 25) -> list[Pair]:
    """Return scores and IoUs of the positives of training batches of a run's last checkpoint."""
    from omegaconf import OmegaConf

    from corrlight.config.build import build_data, build_module

    config = OmegaConf.load(folder / "config.yaml")
    assert OmegaConf.is_dict(config)
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    data = build_data(config)
    module = build_module(config).eval()
    module.load_state_dict(checkpoint["state_dict"])
    data.setup("fit")
    pairs = []
    with torch.no_grad():
        for _, batch in zip(range(num_batches), data.train_dataloader(), strict=False):
            positives = module.step(batch).positives[-1]
            pairs.append((positives.scores, positives.ious()))
    return pairs


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="*", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tables = {str(run): of_run(run) for run in options.runs} or {
        f"{name}, n = {n}": draws(*regime, n, 150 if n < 1000 else 50)
        for name, regime in REGIMES.items()
        for n in (20, 100, 300, 1000)
    }
    print(f"{'':34s}" + "".join(f"{s:>20g}" for s in STRENGTHS))
    for name, pairs in tables.items():
        cells = (measure(pairs, strength) for strength in STRENGTHS)
        print(f"{name[-34:]:34s}" + "".join(f"{e:9.3f} {b:5.0%} {r:4.0%}" for e, b, r in cells))


if __name__ == "__main__":
    main()
