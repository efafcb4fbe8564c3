"""Base losses on 200 random cases each: finite values and gradients, whatever the batch holds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corrlight.criteria import (
    ALRPClassification,
    APClassification,
    DenseCriterion,
    FocalClassification,
    GIoUBoxLoss,
    QualityFocalClassification,
    RankSortClassification,
)
from corrlight.structures import BACKGROUND, IGNORED, Match, Predictions, Targets
from tests.helpers.hypothesis_settings import UNHURRIED

LOSSES = [
    FocalClassification,
    QualityFocalClassification,
    APClassification,
    ALRPClassification,
    RankSortClassification,
]
GT_BOX = torch.tensor([[20.0, 20, 60, 60]])
# Predicted boxes of IoU 1, in between, 0, and without an area.
BOXES = torch.tensor([[20.0, 20, 60, 60], [25, 15, 70, 50], [70, 70, 78, 78], [5, 5, 5, 5]])

logits = st.floats(-8, 8) | st.sampled_from([0.0, 1e4, -1e4])
hypotheses = st.tuples(
    logits, logits, st.sampled_from([0, BACKGROUND, IGNORED]), st.integers(0, len(BOXES) - 1)
)
# Batches that are all of one kind are wanted often: no positives, no negatives, all ignored, every
# IoU 0 or 1.
batches = st.lists(hypotheses, min_size=1, max_size=12) | st.builds(
    lambda rows, kind, box: [(a, b, kind, box) for a, b, _, _ in rows],
    st.lists(hypotheses, min_size=1, max_size=8),
    st.sampled_from([0, BACKGROUND, IGNORED]),
    st.sampled_from([0, 2]),
)
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
@given(batches, st.sampled_from(DTYPES), st.sampled_from([None, 0, 1]))
@settings(UNHURRIED, max_examples=60)
def test_finite(loss, rows, dtype, label):
    n = len(rows)
    # float16 holds no more than 65,504: a logit of 1e4 is finite in every precision.
    values = torch.tensor([[a, b] for a, b, _, _ in rows], dtype=torch.float64).to(dtype)
    values = values[None].requires_grad_()
    boxes = BOXES[torch.tensor([box for *_, box in rows])][None].clone().requires_grad_()
    quality = torch.linspace(-1e4, 1e4, n)[None].requires_grad_()
    stage = Predictions(
        logits=values,
        boxes=boxes,
        level_idx=torch.zeros(n, dtype=torch.long),
        activation="sigmoid",
        valid=torch.ones(1, n, dtype=torch.bool),
        priors=GT_BOX.expand(n, 4) + 1,
        quality=quality,
    )
    no_objects = label is None
    match = torch.tensor([[kind for *_, kind, _ in rows]])
    if no_objects:
        match = match.where(match < 0, BACKGROUND)
    targets = Targets(
        boxes=GT_BOX[: 0 if no_objects else 1],
        labels=torch.tensor([] if no_objects else [label], dtype=torch.long),
        valid_size=(80, 80),
        padded_size=(80, 80),
        original_size=(80, 80),
        image_id=1,
    )
    criterion = DenseCriterion(
        loss(), GIoUBoxLoss(), 2.0, "centerness", "centerness", aux_head="centerness"
    )
    args = (stage, (targets,), Match(gt_idx=match))
    terms = criterion(*args, criterion.normalizers(*args))
    assert all(value.isfinite() for value in terms.values()), terms
    sum(terms.values()).backward()
    for leaf in (values, boxes, quality):
        assert leaf.grad.isfinite().all()
    criterion.after_step(terms)
    assert all(value.isfinite().all() for value in criterion.buffers())


@pytest.mark.parametrize("loss", LOSSES[2:])
def test_ranking_losses_name_the_number_of_logits_that_are_not_finite(loss):
    values = torch.zeros(1, 3, 2)
    values[0, 1, 0], values[0, 2, 1] = float("nan"), float("inf")
    stage = Predictions(
        logits=values,
        boxes=BOXES[None, :3],
        level_idx=torch.zeros(3, dtype=torch.long),
        activation="sigmoid",
        valid=torch.ones(1, 3, dtype=torch.bool),
        priors=GT_BOX.expand(3, 4),
    )
    targets = Targets(
        boxes=GT_BOX,
        labels=torch.tensor([0]),
        valid_size=(80, 80),
        padded_size=(80, 80),
        original_size=(80, 80),
        image_id=1,
    )
    args = (stage, (targets,), Match(gt_idx=torch.tensor([[0, BACKGROUND, BACKGROUND]])))
    criterion = DenseCriterion(loss(), GIoUBoxLoss())
    with pytest.raises(ValueError, match="`logits` to be finite, but 2 of 6 are NaN or infinite"):
        criterion(*args, criterion.normalizers(*args))
