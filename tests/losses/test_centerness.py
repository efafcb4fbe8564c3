"""The centerness target."""

import pytest
import torch
import torch.nn.functional as F

from corrlight.losses import (
    binary_cross_entropy,
    centerness_target,
)
from tests.losses.random_input import GENERATOR, random


def test_centerness_rejects_what_lies_outside():
    priors = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 2, 2]])
    boxes = torch.tensor([[0.0, 0, 4, 4], [3, 3, 4, 4], [1, 1, 1, 1]])
    with pytest.raises(ValueError, match="but 2 of 3 lie outside"):
        centerness_target(priors, boxes)
    on_the_edge = centerness_target(priors[:1], torch.tensor([[1.0, 0, 5, 4]]))
    assert on_the_edge == 0
    assert centerness_target(priors[:0], boxes[:0]).shape == (0,)


def test_centerness_by_its_formula():
    low, high = torch.rand(2, 20, 2, generator=GENERATOR) * 30
    centre = 50 + torch.zeros(20, 2)
    boxes = torch.cat([centre - low, centre + high], 1)
    priors = torch.cat([centre - 4, centre + 4], 1)
    expected = [
        ((min(a, c) / max(a, c)) * (min(b, d) / max(b, d))) ** 0.5
        for (a, b), (c, d) in zip(low.tolist(), high.tolist(), strict=True)
    ]
    torch.testing.assert_close(centerness_target(priors, boxes), torch.tensor(expected))


def test_binary_cross_entropy_is_torchs():
    logits, targets = random(9), torch.rand(9, dtype=torch.float64, generator=GENERATOR)
    expected = F.binary_cross_entropy(logits.sigmoid(), targets)
    torch.testing.assert_close(binary_cross_entropy(logits, targets), expected)
    with pytest.raises(ValueError, match=r"`targets` to have shape \(9,\), but got \(8,\)"):
        binary_cross_entropy(logits, targets[:8])
