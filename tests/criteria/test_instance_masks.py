from dataclasses import replace

import pytest
import torch

from corrlight.criteria import (
    DenseCriterion,
    GIoUBoxLoss,
    HardNegativeCrossEntropy,
    InstanceMaskCriterion,
)
from corrlight.losses.mask import box_regions, mask_loss, semantic_loss
from corrlight.structures import BACKGROUND, MaskPredictions, Match, Predictions, Targets

SIZE = (32, 48)


def targets_of(*counts: int) -> tuple[Targets, ...]:
    boxes = torch.tensor([[4.0, 4, 20, 28], [24, 8, 44, 30]])
    masks = torch.zeros(2, *SIZE, dtype=torch.bool)
    masks[0, 4:28, 4:20] = True
    masks[1, 8:30, 24:44] = True
    return tuple(
        Targets(
            boxes=boxes[:n],
            labels=torch.tensor([0, 2])[:n],
            masks=masks[:n],
            valid_size=SIZE,
            padded_size=SIZE,
            original_size=SIZE,
            image_id=i,
        )
        for i, n in enumerate(counts)
    )


def predictions_of(batch=2) -> Predictions:
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator).requires_grad_()

    return Predictions(
        logits=random(batch, 6, 4),
        boxes=torch.tensor([[2.0, 4, 20, 26], [20, 8, 44, 31]]).repeat(batch, 3, 1),
        level_idx=torch.zeros(6, dtype=torch.long),
        activation="softmax",
        valid=torch.ones(batch, 6, dtype=torch.bool),
        mask=MaskPredictions(
            coefficients=random(batch, 6, 5),
            prototypes=random(batch, 5, 16, 24),
            semantic_logits=random(batch, 3, 8, 12),
            input_size=SIZE,
            original_sizes=(SIZE,) * batch,
        ),
    )


MATCH = Match(gt_idx=torch.tensor([[0, 1, 0, -1, -1, -1], [-1, -1, -1, 0, -1, -1]]))


def criterion(**options) -> InstanceMaskCriterion:
    detection = DenseCriterion(HardNegativeCrossEntropy(), GIoUBoxLoss(), normalizer="local")
    return InstanceMaskCriterion(detection, **options)


def test_terms_written_out() -> None:
    stage, targets = predictions_of(), targets_of(2, 1)
    terms = criterion(mask_weight=3.0, semantic_weight=2.0)(stage, targets, MATCH, {})
    total = 0.0
    for b, n, g in ((0, 0, 0), (0, 1, 1), (0, 2, 0), (1, 3, 0)):
        own = targets[b]
        logits = (stage.mask.coefficients[b, n][:, None, None] * stage.mask.prototypes[b]).sum(0)
        # Every prototype pixel is the mean of 2 x 2 pixels, here all alike.
        target = own.masks[g, ::2, ::2].float()
        region = box_regions(own.boxes[g : g + 1], SIZE, (16, 24))
        edges = own.boxes[g, 2:] - own.boxes[g, :2]
        total += mask_loss(logits[None], target[None], region, edges.prod()[None] / (32 * 48))
    torch.testing.assert_close(terms["loss_mask"], 3 * total[0] / 4)
    semantic = sum(
        semantic_loss(logits, t.masks[:, 1::4, 1::4] & t.masks[:, 2::4, 2::4], t.labels)
        for logits, t in zip(stage.mask.semantic_logits, targets, strict=True)
    )
    torch.testing.assert_close(terms["loss_semantic"], 2 * semantic / 2)


def test_the_published_channels_are_those_of_ours_turned_by_one() -> None:
    stage, targets = predictions_of(), targets_of(2, 1)
    turned = stage.mask.semantic_logits.roll(-1, 1)
    permuted = replace(stage, mask=replace(stage.mask, semantic_logits=turned))
    ours = criterion()(stage, targets, MATCH, {})["loss_semantic"]
    published = criterion(published_channels=True)(permuted, targets, MATCH, {})
    torch.testing.assert_close(published["loss_semantic"], ours)
    assert criterion()(permuted, targets, MATCH, {})["loss_semantic"] != ours


def test_at_most_so_many_masks_of_an_image_count() -> None:
    stage, targets = predictions_of(), targets_of(2, 1)
    own = criterion(max_masks=2)
    own(stage, targets, MATCH, {})["loss_mask"].backward()
    touched = stage.mask.coefficients.grad.abs().sum(-1) > 0
    assert touched.sum(1).tolist() == [2, 1]
    counted = criterion(max_masks=2, normalizer="global").normalizers(stage, targets, MATCH)
    assert counted["masks"] == 3


def test_global_normalizer_is_the_mean_that_is_passed_in() -> None:
    stage, targets = predictions_of(), targets_of(2, 1)
    own = criterion(normalizer="global")
    local = own(stage, targets, MATCH, own.normalizers(stage, targets, MATCH))
    double = own(stage, targets, MATCH, {"masks": torch.tensor(8.0)})
    torch.testing.assert_close(double["loss_mask"], local["loss_mask"] / 2)


def test_without_objects_every_branch_has_a_zero_gradient() -> None:
    stage = predictions_of()
    match = Match(gt_idx=torch.full((2, 6), BACKGROUND))
    terms = criterion()(stage, targets_of(0, 0), match, {})
    assert terms["loss_mask"] == 0
    assert terms["loss_semantic"] == 0
    torch.stack(list(terms.values())).sum().backward()
    mask = stage.mask
    for branch in (mask.coefficients, mask.prototypes, mask.semantic_logits):
        assert branch.grad is not None
        assert not branch.grad.any()


def test_missing_masks_are_named() -> None:
    stage, targets = predictions_of(), targets_of(2, 1)
    with pytest.raises(ValueError, match=r"`predictions\.mask` to hold mask predictions"):
        criterion()(replace(stage, mask=None), targets, MATCH, {})
    bare = (targets[0], replace(targets[1], masks=None))
    with pytest.raises(ValueError, match=r"data.load_masks=true.*image 1 has none"):
        criterion()(stage, bare, MATCH, {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_weight": -1.0}, "`mask_weight`"),
        ({"max_masks": 0}, "`max_masks` to be at least 1, but got 0"),
        ({"normalizer": "mean"}, "`normalizer` to be one of 'local', 'global', but got 'mean'"),
    ],
)
def test_wrong_arguments_are_named(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        criterion(**options)
