"""Two images, five priors and three classes: small enough to write every term out by hand."""

import torch

from corrlight.structures import BACKGROUND, IGNORED, Match, Predictions, Targets

NUM_CLASSES = 3
PRIORS = torch.tensor(
    [[0.0, 0, 40, 40], [10, 10, 50, 50], [20, 20, 60, 60], [30, 30, 70, 70], [0, 40, 40, 80]]
)


def predictions(quality=True, activation="sigmoid"):
    generator = torch.Generator().manual_seed(0)
    num = len(PRIORS)
    outputs = NUM_CLASSES + (activation == "softmax")
    boxes = PRIORS + 3 * torch.randn(2, num, 4, generator=generator)
    return Predictions(
        logits=torch.randn(2, num, outputs, generator=generator).requires_grad_(),
        boxes=boxes.requires_grad_(),
        level_idx=torch.zeros(num, dtype=torch.int64),
        activation=activation,
        valid=torch.ones(2, num, dtype=torch.bool),
        priors=PRIORS,
        quality=torch.randn(2, num, generator=generator).requires_grad_() if quality else None,
    )


def targets():
    boxes = [torch.tensor([[5.0, 5, 45, 40], [15, 15, 75, 70]]), torch.zeros(0, 4)]
    return tuple(
        Targets(
            boxes=b,
            labels=torch.arange(len(b)) + 1,
            valid_size=(80, 80),
            padded_size=(80, 80),
            original_size=(80, 80),
            image_id=i,
        )
        for i, b in enumerate(boxes)
    )


MATCH = Match(gt_idx=torch.tensor([[0, 0, 1, BACKGROUND, IGNORED], [BACKGROUND] * 5]))
NOTHING = Match(gt_idx=torch.full((2, 5), BACKGROUND))


def run(own, stage, match=MATCH, factor=1.0):
    """Return the terms of a criterion, whose normalizers are multiplied by a factor."""
    normalizers = own.normalizers(stage, targets(), match)
    return own(stage, targets(), match, {k: v * factor for k, v in normalizers.items()})
