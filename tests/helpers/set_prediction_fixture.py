"""Comparisons of a detector with several stages, each matched on its own, with stored data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from corrlight.losses import CorrelationLoss
from corrlight.structures import Match, Positives, Predictions
from tests.helpers.published_model import PublishedModel


def assert_same_matches(model: PublishedModel, word: str, matches: Sequence[Match]) -> None:
    """Compare the matches of the stages, which the data call ``word`` and a number."""
    count = 0
    for name, expected in model.assignment.items():
        found = re.fullmatch(rf"{word}(\d+)_(gt_inds|labels)_(\d+)", name)
        if found is None:
            continue
        gt_idx = matches[int(found[1])].gt_idx[int(found[3])]
        if found[2] == "labels":
            labels = model.targets[int(found[3])].labels
            ours = torch.where(gt_idx >= 0, labels[gt_idx.clamp(min=0)], -1)
        else:
            ours = gt_idx + 1  # there 0 is background
        assert ours.tolist() == expected.tolist(), name
        count += 1
    assert count == 2 * len(matches) * len(model.batch)


def assert_same_correlation_gradient(
    model: PublishedModel,
    word: str,
    index: int,
    stage: Predictions,
    loss: CorrelationLoss,
    expected: Tensor,
) -> None:
    """Compare the gradient on the logits of one stage, with the stored match."""
    logits = stage.logits.detach().clone().requires_grad_()
    boxes = stage.boxes.detach().clone().requires_grad_()
    stored = [model.assignment[f"{word}{index}_gt_inds_{b}"] for b in range(len(model.batch))]
    match = Match(gt_idx=torch.stack([gt_idx.long() - 1 for gt_idx in stored]))
    positives = Positives.gather(replace(stage, logits=logits, boxes=boxes), model.targets, match)
    (loss.weight * loss(positives)).backward()
    torch.testing.assert_close(logits.grad, expected, rtol=1e-4, atol=1e-6, msg=f"{word} {index}")
    assert boxes.grad is None or not boxes.grad.any()
