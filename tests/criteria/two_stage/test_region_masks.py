import dataclasses

import pytest
import torch
import torch.nn.functional as F

from corrlight.criteria import (
    CrossEntropyClassification,
    DenseCriterion,
    GIoUBoxLoss,
    RegionMaskLoss,
    TwoStageCriterion,
)
from corrlight.structures import RegionMasks
from tests.helpers.dense_example import MATCH, NOTHING, PRIORS, predictions, run, targets

SIZE = 4


class Fixed(RegionMasks):
    """Logits that are drawn beforehand, one a hypothesis box and class."""

    def __init__(self):
        generator = torch.Generator().manual_seed(2)
        self.all = torch.randn(len(PRIORS), 3, SIZE, SIZE, generator=generator).requires_grad_()

    def logits(self, image_idx, boxes, labels):
        rows = (boxes[:, None] == PRIORS).all(-1).float().argmax(1)
        return self.all[rows, labels] if len(boxes) else self.all[:0, 0] + self.all.sum() * 0

    def sizes(self, image):
        return (80, 80), (80, 80)


def stage():
    return dataclasses.replace(
        predictions(activation="softmax"), priors=PRIORS.expand(2, -1, -1), region_masks=Fixed()
    )


def with_masks():
    """The left half of every object, at the resolution of the picture."""
    found = []
    for target in targets():
        masks = torch.zeros(len(target.boxes), 80, 80, dtype=torch.bool)
        for mask, (x1, y1, x2, y2) in zip(masks, target.boxes.int().tolist(), strict=True):
            mask[y1:y2, x1 : (x1 + x2) // 2] = True
        found.append(dataclasses.replace(target, masks=masks))
    return tuple(found)


def wanted(mask, box):
    """What of a mask lies in a box of integer corners, cell by cell: most of it or not."""
    x1, y1, x2, y2 = box.int().tolist()
    cells = F.adaptive_avg_pool2d(mask[None, y1:y2, x1:x2].float(), SIZE)[0]
    return (cells >= 0.5).float()


def pairs(objects):
    """Positives: prior, object, label."""
    return [(0, 0, 1), (1, 0, 1), (2, 1, 2)], objects[0].masks


def test_cross_entropy_is_the_mean_over_all_pixels_of_the_objects_classes():
    own, objects = stage(), with_masks()
    loss = RegionMaskLoss(weight=2.0)(own, objects, MATCH, {}, {})
    rows, masks = pairs(objects)
    expected = [
        F.binary_cross_entropy_with_logits(
            own.region_masks.all[p, label], wanted(masks[g], PRIORS[p])
        )
        for p, g, label in rows
    ]
    torch.testing.assert_close(loss, 2 * torch.stack(expected).mean())


def test_the_number_of_masks_may_be_that_of_all_ranks():
    own, objects = stage(), with_masks()
    plain, shared = RegionMaskLoss(), RegionMaskLoss(normalizer="global", max_masks=9)
    assert plain.normalizers(MATCH) == {}
    assert {k: float(v) for k, v in shared.normalizers(MATCH).items()} == {"masks": 3}
    assert float(RegionMaskLoss(normalizer="global", max_masks=2).normalizers(MATCH)["masks"]) == 2
    mean = {"masks": torch.tensor(1.5)}  # this rank has 3, another one none
    loss = shared(own, objects, MATCH, mean, {})
    torch.testing.assert_close(loss, 2 * plain(own, objects, MATCH, {}, {}))


def test_balanced_dice_has_the_value_of_the_ranking_terms():
    own, objects = stage(), with_masks()
    terms = {"loss_rank": torch.tensor(0.3), "loss_sort": torch.tensor(0.2)}
    loss = RegionMaskLoss(kind="balanced")(own, objects, MATCH, {}, terms)
    torch.testing.assert_close(loss.detach(), torch.tensor(0.5))
    (actual,) = torch.autograd.grad(loss, own.region_masks.all)
    rows, masks = pairs(objects)
    dice, weights = [], []
    for p, g, label in rows:
        probability = own.region_masks.all[p, label].sigmoid()
        target = wanted(masks[g], PRIORS[p])
        squares = (probability**2).sum() + (target**2).sum() + 1e-5
        dice.append(1 - 2 * (probability * target).sum() / squares)
        weights.append(own.logits[0, p].softmax(-1)[:3].max().detach())
    mean = sum(d * w for d, w in zip(dice, weights, strict=True)) / sum(weights)
    (expected,) = torch.autograd.grad(0.5 * mean / mean.detach(), own.region_masks.all)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("kind", ["cross_entropy", "balanced"])
def test_without_positives_it_is_zero_with_a_gradient(kind):
    own, terms = stage(), {"loss_rank": torch.zeros(()), "loss_sort": torch.zeros(())}
    loss = RegionMaskLoss(kind=kind)(own, with_masks(), NOTHING, {}, terms)
    assert loss == 0
    (gradient,) = torch.autograd.grad(loss, own.region_masks.all)
    assert not gradient.any()


def test_masks_that_are_too_many_are_drawn():
    own, objects = stage(), with_masks()
    rows, masks = pairs(objects)
    each = {
        round(
            float(
                F.binary_cross_entropy_with_logits(
                    own.region_masks.all[p, label], wanted(masks[g], PRIORS[p])
                )
            ),
            5,
        )
        for p, g, label in rows
    }
    limited = RegionMaskLoss(max_masks=1)
    found = {round(float(limited(own, objects, MATCH, {}, {})), 5) for _ in range(40)}
    assert found == each


def test_a_two_stage_criterion_has_the_term_in_its_last_stage():
    classes = CrossEntropyClassification()
    detection = DenseCriterion(classes, GIoUBoxLoss())
    plain = DenseCriterion(_Nothing(), GIoUBoxLoss())
    both = TwoStageCriterion(plain, detection, masks=RegionMaskLoss())
    own, objects = stage(), with_masks()
    assert set(both.needs) == {"priors", "region_masks"}
    normalizers = both.normalizers(own, objects, MATCH)
    terms = both(own, objects, MATCH, normalizers)
    assert terms.keys() == {"loss_cls", "loss_box", "loss_mask"}
    torch.testing.assert_close(terms["loss_mask"], RegionMaskLoss()(own, objects, MATCH, {}, {}))
    with pytest.raises(ValueError, match="image 0 has none"):
        run(both, own)


class _Nothing(CrossEntropyClassification):
    activation = None


def test_errors():
    with pytest.raises(ValueError, match=r"to make masks, but got None"):
        RegionMaskLoss()(predictions(), with_masks(), MATCH, {}, {})
    with pytest.raises(ValueError, match=r"loss=rank_sort.*are loss_cls"):
        RegionMaskLoss(kind="balanced")(stage(), with_masks(), MATCH, {}, {"loss_cls": 0})
    for name, value in (("kind", "dice"), ("max_masks", 0), ("weight", -1), ("normalizer", 1)):
        with pytest.raises(ValueError, match=rf"`{name}`"):
            RegionMaskLoss(**{name: value})
