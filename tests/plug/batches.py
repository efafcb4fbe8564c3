"""Positives to measure."""

import dataclasses

import torch

from corrlight.plug.positives import make_positives


def positives_of(image_idx, seed=0, boxes=None):
    """Positives of such images: random scores, and boxes that overlap their objects somehow."""
    count = len(image_idx)
    generator = torch.Generator().manual_seed(seed)
    gt = torch.tensor([[10.0, 10, 50, 50]]).repeat(count, 1)
    shift = torch.rand(count, 4, generator=generator) * 20
    scores = torch.rand(count, generator=generator).requires_grad_()
    return make_positives(
        scores=scores,
        pred_boxes=gt + shift if boxes is None else boxes,
        gt_boxes=gt,
        labels=torch.zeros(count, dtype=torch.long),
        image_idx=torch.tensor(image_idx, dtype=torch.long),
        pred_idx=torch.arange(count),
        gt_idx=torch.arange(count),
    )


def detached(positives):
    """The same as constants."""
    return dataclasses.replace(positives, scores=positives.scores.detach())
