import dataclasses
import functools

import pytest
import torch

from corrlight.assigners import MaxIoUAssigner
from corrlight.backbones import FPN, ResNet
from corrlight.detectors import YOLACT
from corrlight.structures import BACKGROUND
from tests.detectors.build import batch_of


def tiny(**changes) -> YOLACT:
    torch.manual_seed(0)
    backbone = ResNet(18, base_width=4, frozen_stages=0, norm="batch")
    neck = functools.partial(
        FPN, out_channels=16, num_levels=3, extra_levels=None, upsampling="bilinear"
    )
    options = {"num_prototypes": 4, "prototype_channels": 8, "strides": [8, 16, 32]}
    options |= {"anchor_sizes": [24, 48, 96]}
    return YOLACT(backbone, neck, 3, **(options | changes))


def test_shapes() -> None:
    batch = batch_of(96, 128)
    (stage,) = tiny()(batch)
    count = 3 * (12 * 16 + 6 * 8 + 3 * 4)
    assert stage.logits.shape == (2, count, 4)
    assert stage.num_classes == 3
    assert stage.boxes.shape == (2, count, 4)
    assert stage.priors.shape == (count, 4)
    assert stage.level_idx.bincount().tolist() == [3 * 192, 3 * 48, 3 * 12]
    mask = stage.mask
    assert mask.coefficients.shape == (2, count, 4)
    assert mask.prototypes.shape == (2, 4, 24, 32)
    assert mask.semantic_logits.shape == (2, 3, 12, 16)
    assert mask.input_size == (96, 128)
    assert mask.original_sizes == tuple(t.original_size for t in batch.targets)


def test_coefficients_are_signed_and_prototypes_are_not_negative() -> None:
    (stage,) = tiny()(batch_of())
    assert -1 <= stage.mask.coefficients.min() < 0 < stage.mask.coefficients.max() <= 1
    assert stage.mask.prototypes.min() == 0
    assert stage.mask.prototypes.max() > 0


def test_anchors_lie_in_the_middle_of_their_cells() -> None:
    (stage,) = tiny()(batch_of(96, 128))
    first = stage.priors[:3]
    centres = (first[:, :2] + first[:, 2:]) / 2
    torch.testing.assert_close(centres, torch.full((3, 2), 4.0))
    width, height = (first[:, 2:] - first[:, :2]).unbind(1)
    torch.testing.assert_close(width * height, torch.full((3,), 24.0**2))
    torch.testing.assert_close(height / width, torch.tensor([0.5, 1, 2]))


def test_published_levels_of_550_pixels() -> None:
    neck = functools.partial(
        FPN, out_channels=8, num_levels=5, extra_levels="on_input", upsampling="bilinear"
    )
    backbone = ResNet(18, base_width=4, frozen_stages=0, norm="batch")
    detector = YOLACT(backbone, neck, 2, num_prototypes=2, prototype_channels=8)
    with torch.no_grad():
        (stage,) = detector(batch_of(550, 550))
    cells = [69, 35, 18, 9, 5]
    assert stage.level_idx.bincount().tolist() == [3 * n * n for n in cells]
    assert stage.mask.prototypes.shape[2:] == (138, 138)
    assert stage.valid[0].all()
    # The last cell of the finest level ends where the picture does.
    centre = (stage.priors[3 * 69 * 69 - 2, :2] + stage.priors[3 * 69 * 69 - 2, 2:]) / 2
    torch.testing.assert_close(centre, torch.full((2,), 550 - 550 / 69 / 2))


def test_an_object_takes_one_best_anchor_only() -> None:
    (stage,) = tiny()(batch_of())
    first, second = batch_of().targets
    small = torch.tensor([[40.0, 40, 46, 45]])
    first = dataclasses.replace(first, boxes=small, labels=torch.tensor([1]))
    match = MaxIoUAssigner(0.5, 0.4, force_match="one")(stage, (first, second))
    assert (match.gt_idx[0] >= 0).sum() == 1
    assert (match.gt_idx[1] == BACKGROUND).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_prototypes": 0}, "`num_prototypes` to be at least 1, but got 0"),
        ({"strides": [8, 16]}, "`strides` to have 3 entries, one a level of the neck, but got 2"),
    ],
)
def test_wrong_arguments_are_named(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**changes)
