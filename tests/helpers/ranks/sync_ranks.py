"""Training steps on one or two ranks of a detector with shared weights, for comparing the two."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from corrlight.criteria import ALRPClassification, DenseCriterion, GIoUBoxLoss
from corrlight.detectors.base import Detector
from corrlight.losses import CorrelationLoss
from corrlight.module import DetectionModule
from corrlight.structures import BACKGROUND, Batch, Match, Predictions, Targets
from tests.helpers.toy import ToyCriterion, ToyPostprocessor

COEFFICIENTS = ("pearson", "spearman", "spearman_rank", "concordance")
GROUPINGS = ("batch", "image", "level")
# Positives of every image of the two ranks.
MANY, NUM_HYPOTHESES, NUM_FEATURES = 30, 48, 6
COUNTS = [((a,), (b,)) for a, b in itertools.product((0, 1, MANY), repeat=2)] + [
    ((0, 0), (MANY, 0)), ((1, MANY), (0, 0)), ((0, 1), (1, 0)), ((MANY, 0), (0, MANY)),
    ((MANY, 7), (1, 12)),
]  # fmt: skip


class SharedDetector(Detector):
    """Hypotheses are linear in features that stand in for the image; weights are shared."""

    activation = "sigmoid"
    num_classes = 2

    def __init__(self, num_stages: int = 1) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        shape = (num_stages, NUM_FEATURES, self.num_classes + 4)
        self.weight = nn.Parameter(torch.randn(shape, generator=generator))

    def forward(self, batch: Batch) -> list[Predictions]:
        features = batch.images.reshape(len(batch), NUM_HYPOTHESES, NUM_FEATURES)
        priors = torch.tensor([10.0, 10, 50, 50]).expand(NUM_HYPOTHESES, 4)
        stages = []
        for weight in self.weight:
            logits, boxes = (features @ weight).split([self.num_classes, 4], -1)
            stages.append(
                Predictions(
                    logits=logits,
                    boxes=priors + 3 * boxes,
                    level_idx=torch.arange(NUM_HYPOTHESES) // (NUM_HYPOTHESES // 3),
                    activation="sigmoid",
                    valid=torch.ones(logits.shape[:2], dtype=torch.bool),
                    priors=priors,
                )
            )
        return stages


class CountAssigner:
    """As many positives as the image's id modulo 100 says, spread over the levels."""

    def __call__(self, predictions: Predictions, targets: tuple[Targets, ...]) -> Match:
        gt_idx = torch.full(predictions.boxes.shape[:2], BACKGROUND)
        for row, target in zip(gt_idx, targets, strict=True):
            row[torch.arange(target.image_id % 100) * 5 % NUM_HYPOTHESES] = 0
        return Match(gt_idx=gt_idx)


def make_batch(counts: tuple[int, ...], seed: int) -> Batch:
    """Return one image for each number of positives; image k of seed s is the same everywhere."""
    targets, images = [], []
    for k, count in enumerate(counts):
        generator = torch.Generator().manual_seed(100 * seed + k)
        images.append(torch.randn(3, NUM_HYPOTHESES, NUM_FEATURES // 3, generator=generator))
        objects = int(count > 0)
        targets.append(
            Targets(
                boxes=torch.tensor([[12.0, 12, 52, 48]])[:objects],
                labels=torch.zeros(objects, dtype=torch.long),
                valid_size=(64, 64),
                padded_size=(64, 64),
                original_size=(64, 64),
                image_id=100 + count,
            )
        )
    return Batch(images=torch.stack(images), targets=tuple(targets))


def joined(*batches: Batch) -> Batch:
    """Return one batch with the images of several."""
    return Batch(
        images=torch.cat([b.images for b in batches]),
        targets=tuple(t for b in batches for t in b.targets),
    )


def make_module(callbacks=None, criterion=None, num_stages=1) -> DetectionModule:
    """Return the module around the detector; its logging goes nowhere."""
    module = DetectionModule(
        detector=SharedDetector(num_stages),
        assigner=CountAssigner(),
        criterion=criterion or ToyCriterion(),
        postprocessor=ToyPostprocessor(),
        loss_callbacks=callbacks or {},
    )
    module.log_dict = lambda *args, **kwargs: None
    return module


class Step(nn.Module):
    """What Lightning wraps for data-parallel training."""

    def __init__(self, module: DetectionModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: Batch) -> torch.Tensor:
        return self.module.training_step(batch, 0)


def synced_callbacks() -> dict[str, CorrelationLoss]:
    """Return a callback for every coefficient and grouping, with a weight of its own."""
    callbacks = {}
    for k, (name, group_by) in enumerate(itertools.product(COEFFICIENTS, GROUPINGS)):
        # A handful of exactly ranked positives has no gradient to compare.
        options = {"relative_strength": 1.5} if name == "spearman_rank" else {}
        callbacks[f"{name}_{group_by}"] = CorrelationLoss(
            name, 0.5 + 0.1 * k, group_by=group_by, backprop="both", sync=True, **options
        )
    return callbacks


def step_results(rank: int | None) -> dict[str, dict[str, torch.Tensor]]:
    """Return terms and gradient of every combination; without a rank, of the joined batch."""
    results = {}
    for counts, num_stages in [*((c, 1) for c in COUNTS), (COUNTS[-1], 3)]:
        module = make_module(synced_callbacks(), num_stages=num_stages)
        batches = [make_batch(c, seed) for seed, c in enumerate(counts)]
        batch = joined(*batches) if rank is None else batches[rank]
        seen = {}
        module._log_step = lambda split, batch, output, seen=seen: seen.update(output.terms)
        step = Step(module) if rank is None else DistributedDataParallel(Step(module))
        step(batch).backward()
        terms = {k: v.detach() for k, v in seen.items() if not k.endswith("loss_cls")}
        terms["gradient"] = module.detector.weight.grad.clone()
        results[f"{counts}, {num_stages} stages"] = terms
    return results


def balance_results(rank: int) -> dict[str, list[float]]:
    """Return the self-balance of aLRP after each training step, and around a validation."""
    criterion = DenseCriterion(ALRPClassification(period=2), GIoUBoxLoss())
    module = make_module(criterion=criterion)
    balance = criterion.classification.balance

    def state() -> list[float]:
        return [float(balance.weight), float(balance.updates), *map(float, balance.sums)]

    step = DistributedDataParallel(Step(module), broadcast_buffers=False)
    trained = []
    for k, counts in enumerate(
        [((9,), (2,)), ((0,), (5,)), ((4,), (0,)), ((0,), (0,)), ((3,), (8,))]
    ):
        step(make_batch(counts[rank], seed=2 * k + rank)).backward()
        trained.append(state())
    for k in range((3, 1)[rank]):
        module.validation_step(make_batch((5, 2), seed=50 + k), k)
    return {"trained": trained, "validated": state()}


def rank_results(rank: int) -> dict[str, Any]:
    """Return all results of one of two ranks."""
    return {"steps": step_results(rank), "balance": balance_results(rank)}
