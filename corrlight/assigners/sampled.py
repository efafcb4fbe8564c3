"""A random sample of the hypotheses, a part of them positives (Ren et al., 2015, Section 3.1.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from corrlight.arguments import check_at_least, check_share
from corrlight.assigners.base import Assigner
from corrlight.structures import (
    BACKGROUND,
    Activation,
    Match,
    PredictionField,
    Predictions,
    Targets,
)

__all__ = ["SampledAssigner"]


class SampledAssigner:
    """The match of another assigner, and which hypotheses of each image the losses see.

    Positives are drawn first, up to their share; negatives fill what is left. Which ones depends on
    the seed, the epoch and the image's id alone: not on the batch, the ranks, or what else draws
    random numbers, so a resumed training draws the same.

    Args:
        assigner: What matches.
        num_samples: Hypotheses of an image at most; None for all of them (Rank & Sort).
        positive_share: Share of them that are positive at most, in [0, 1].
        seed: The run's seed.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self, assigner: Assigner, num_samples: int | None, positive_share: float, seed: int = 0
    ) -> None:
        check_at_least(1, num_samples=1 if num_samples is None else num_samples)
        check_at_least(0, seed=seed)
        check_share(positive_share=positive_share)
        self.assigner, self.num_samples = assigner, num_samples
        self.positive_share, self.seed = positive_share, seed
        self._epoch = 0

    @property
    def needs(self) -> tuple[PredictionField, ...]:
        """What the assigner needs."""
        return tuple(getattr(self.assigner, "needs", ()))

    @property
    def activation(self) -> Activation | None:
        """What the assigner asks for."""
        return getattr(self.assigner, "activation", None)

    def start_epoch(self, epoch: int) -> None:
        """Note the epoch, from 0, that begins."""
        self._epoch = epoch

    def draw(self, predictions: Predictions, targets: Sequence[Targets]) -> Match | None:
        """Return the match of hypotheses that have no scores yet.

        Args:
            predictions: Priors and validity; anything else is not looked at.
            targets: The objects.

        Returns:
            None if nothing is drawn, or the assigner looks at more than priors.
        """
        if self.num_samples is None or not getattr(self.assigner, "by_priors", False):
            return None
        return self(predictions, targets)

    @torch.no_grad()
    def __call__(self, predictions: Predictions, targets: Sequence[Targets]) -> Match:
        """Return the assigner's match with ``sampled``; invalid hypotheses are not drawn."""
        match = self.assigner(predictions, targets)
        if self.num_samples is None:
            return match
        positive = match.positive & predictions.valid
        negative = (match.gt_idx == BACKGROUND) & predictions.valid
        order = self._keys(targets, match.gt_idx)  # (B, N)
        most = int(self.num_samples * self.positive_share)
        positive = _first(positive, order, torch.full_like(positive[:, 0], most, dtype=torch.long))
        negative = _first(negative, order, self.num_samples - positive.sum(1))
        return replace(match, sampled=positive | negative)

    def _keys(self, targets: Sequence[Targets], like: Tensor) -> Tensor:
        """Return ``(B, N)`` random numbers, those of an image the same on every device."""
        generator = torch.Generator()
        rows = []
        for target in targets:
            sequence = np.random.SeedSequence([self.seed, self._epoch, abs(target.image_id)])
            generator.manual_seed(int(sequence.generate_state(1)[0]))
            rows.append(torch.rand(like.shape[1], generator=generator))
        return torch.stack(rows).to(like.device)


def _first(chosen: Tensor, keys: Tensor, number: Tensor) -> Tensor:
    """Return ``(B, N)`` which of the chosen have one of the ``(B,)`` lowest keys."""
    ordered, order = keys.masked_fill(~chosen, torch.inf).sort(1)
    taken = torch.arange(keys.shape[1], device=keys.device) < number[:, None]
    return torch.zeros_like(chosen).scatter_(1, order, taken & ordered.isfinite())
