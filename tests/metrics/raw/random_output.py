"""Random batches, and their dumps."""

import numpy as np
import torch

from corrlight.metrics.raw.dump import RawDump, write_raw
from corrlight.metrics.raw.images import (
    postprocess_options,
    raw_images,
)
from corrlight.postprocess import FastNMSPostprocessor, NMSPostprocessor, TopKPostprocessor
from corrlight.structures import (
    BACKGROUND,
    Batch,
    Match,
    Positives,
    Predictions,
    StepOutput,
    Targets,
)

CATEGORIES = (2, 5, 90)


POSTPROCESSORS = [
    NMSPostprocessor(score_thresh=0.3, topk_candidates=12, quality="product", max_detections=15),
    NMSPostprocessor(score_thresh=0.3, quality="sqrt", select_on="ranking_scores"),
    NMSPostprocessor(
        score_thresh=0.3,
        topk_candidates=9,
        quality="product",
        preselect="product",
        select_on="ranking_scores",
        voting_sigma=0.025,
        border=1,
    ),
    FastNMSPostprocessor(score_thresh=0.3, topk_candidates=9, topk_per_class=8),
    TopKPostprocessor(max_detections=20),
    TopKPostprocessor(max_detections=20, select="argmax", clip_boxes=False),
]


def random_output(seed, postprocessor, activation="sigmoid", num_images=3, num=60):
    """Hypotheses around three objects an image, on two levels; the last image has no positives."""
    rng = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(*shape, generator=rng)

    corner = uniform(num_images, 3, 2) * 50
    gt = torch.cat([corner, corner + 15 + 25 * uniform(num_images, 3, 2)], -1)
    of = torch.randint(3, (num_images, num), generator=rng)
    boxes = gt.gather(1, of[..., None].expand(-1, -1, 4)) + 4 * torch.randn(
        num_images, num, 4, generator=rng
    )
    quality = None
    if getattr(postprocessor, "quality", None) is not None:
        quality = torch.randn(num_images, num, generator=rng)
    predictions = Predictions(
        logits=torch.randn(num_images, num, 3 + (activation == "softmax"), generator=rng),
        boxes=boxes,
        level_idx=torch.arange(num) // 40,
        activation=activation,
        valid=torch.arange(num)[None].expand(num_images, -1) < 57,
        quality=quality,
    )
    targets = tuple(
        Targets(
            boxes=gt[i],
            labels=torch.arange(3),
            valid_size=(80, 80),
            padded_size=(96, 96),
            original_size=(160, 120),
            image_id=10 - i,
        )
        for i in range(num_images)
    )
    gt_idx = torch.where(uniform(num_images, num) < 0.3, of, BACKGROUND)
    gt_idx[-1] = BACKGROUND
    gt_idx[:, 57:] = BACKGROUND  # not valid
    positives = Positives.gather(predictions, targets, Match(gt_idx=gt_idx))
    output = StepOutput(
        loss=torch.zeros(()),
        terms={},
        counts={},
        predictions=[predictions],
        positives=[positives],
        detections=postprocessor(predictions, [(80, 80)] * num_images),
    )
    return Batch(images=torch.zeros(num_images, 3, 96, 96), targets=targets), output


def dumped(path, batch, output, postprocessor):
    images = list(raw_images(batch, output, postprocessor, np.array(CATEGORIES)))
    write_raw(path, images, postprocess_options(postprocessor))
    return RawDump.load(path)
