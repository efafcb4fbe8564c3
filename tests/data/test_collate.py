import numpy as np
import pytest
import torch

from corrlight.data import Sample
from corrlight.data.collate import Collate

MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)


def sample(height, width, num_objects=1, masks=True):
    rng = np.random.default_rng(height * width)
    return Sample(
        image=torch.from_numpy(rng.integers(0, 256, (3, height, width), np.uint8)),
        boxes=torch.tensor([[1.0, 2, 5, 6]] * num_objects).reshape(-1, 4),
        labels=torch.zeros(num_objects, dtype=torch.int64),
        crowd_boxes=torch.tensor([[0.0, 0, 3, 3]]),
        masks=torch.ones(num_objects, height, width, dtype=torch.uint8) if masks else None,
        original_size=(2 * height, 2 * width),
        image_id=height,
    )


def test_images_are_normalised_and_zero_outside():
    samples = [sample(30, 70), sample(64, 20, 0), sample(33, 33, 2)]
    batch = Collate(MEAN, STD)(samples)
    assert batch.images.shape == (3, 3, 64, 96)
    assert batch.images.dtype == torch.float32
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
    for image, one in zip(batch.images, samples, strict=True):
        h, w = one.size
        torch.testing.assert_close(image[:, :h, :w], (one.image.float() - mean) / std)
        assert image[:, h:].abs().sum() == image[:, :, w:].abs().sum() == 0


def test_targets_carry_sizes_and_ids():
    samples = [sample(30, 70), sample(64, 20, 0), sample(33, 33, 2)]
    batch = Collate(MEAN, STD)(samples)
    assert batch.valid_sizes == [(30, 70), (64, 20), (33, 33)]
    assert batch.padded_sizes == [(32, 96), (64, 32), (64, 64)]
    assert [t.original_size for t in batch.targets] == [(60, 140), (128, 40), (66, 66)]
    assert [t.image_id for t in batch.targets] == [30, 64, 33]
    assert [t.boxes.shape for t in batch.targets] == [(1, 4), (0, 4), (2, 4)]
    assert [t.labels.dtype for t in batch.targets] == [torch.int64] * 3


def test_masks_have_the_size_of_the_batch():
    batch = Collate(MEAN, STD)([sample(30, 70), sample(64, 20, 0)])
    assert [t.masks.shape for t in batch.targets] == [(1, 64, 96), (0, 64, 96)]
    assert [t.masks.dtype for t in batch.targets] == [torch.bool] * 2
    assert batch.targets[0].masks.sum() == 30 * 70
    assert Collate(MEAN, STD)([sample(30, 70, masks=False)]).targets[0].masks is None


def test_crowds_are_kept_on_demand():
    assert Collate(MEAN, STD)([sample(30, 70)]).targets[0].crowd_boxes is None
    kept = Collate(MEAN, STD, keep_crowds=True)([sample(30, 70)]).targets[0].crowd_boxes
    assert kept.tolist() == [[0, 0, 3, 3]]


def test_divisor_1_pads_to_the_largest_only():
    batch = Collate(MEAN, STD, size_divisor=1)([sample(30, 70), sample(64, 20)])
    assert batch.images.shape[-2:] == (64, 70)
    assert batch.padded_sizes == [(30, 70), (64, 20)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((1, 2), STD), "Expected `mean` to be 3 numbers, but got [1, 2]."),
        ((MEAN, (1, 0, 1)), "Expected `std` to be 3 positive numbers, but got [1, 0, 1]."),
        ((MEAN, STD, 0), "Expected `size_divisor` to be at least 1, but got 0."),
    ],
)
def test_bad_options(arguments, message):
    with pytest.raises(ValueError) as caught:
        Collate(*arguments)
    assert str(caught.value) == message
